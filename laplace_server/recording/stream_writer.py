"""One stream's group in a file: a dataset for each key, with numbers, times and a ledger."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from laplace_server.client.updates import Update
from laplace_server.description import KeyDescription
from laplace_server.recording.attributes import plain, tell
from laplace_server.recording.compression import Storage
from laplace_server.recording.keys import KeyWriter
from laplace_server.recording.ledger import Ended, LedgerWriter
from laplace_server.recording.rows import Rows
from laplace_server.recording.values import ARRAY, LIST, NUMBER, Path, leaves_of

_ROWS_TOGETHER = 4096
_CHUNK_BYTES, _LEAST_CHUNK_BYTES, _ALL_CHUNKS_BYTES = 32 << 10, 1 << 10, 2 << 20
_OWN = {"seq": "<u8", "epoch": "<u8", "timestamp": "<f8"}
_PLOTTED = (NUMBER, ARRAY, LIST)


class StreamWriter:
    """Collects updates, and writes them by columns.

    Args:
        group: empty, of this stream.
        described: what the server says of its keys.
        storage: how values are stored.
    """

    def __init__(
        self,
        group: h5py.Group,
        stream: str,
        described: Mapping[str, KeyDescription],
        storage: Storage,
    ) -> None:
        group.attrs["NX_class"] = "NXdata"
        tell(group.attrs, "stream", stream)
        self._group = group
        self._described = described
        self._storage = storage
        self._own = {
            name: Rows(group, name, dtype, together=_ROWS_TOGETHER) for name, dtype in _OWN.items()
        }
        told = self._own["timestamp"].dataset.attrs
        told["units"] = "s"
        told["long_name"] = "seconds since 1970-01-01 00:00 UTC"
        self.ledger = LedgerWriter(group, "ledger")
        self._keys: dict[Path, KeyWriter] = {}
        self._waiting: list[Update] = []
        self._signal: str | None = None
        self.rows = 0

    @property
    def counting(self) -> h5py.Dataset:
        """The dataset that says how many rows there are."""
        return self._own["seq"].dataset

    def describe(self, described: Mapping[str, KeyDescription]) -> None:
        """Keys that come from now on are described so."""
        self._described = described

    def take(self, updates: list[Update]) -> None:
        """Keep updates until the next ``write``."""
        self._waiting += updates

    def end(self, ended: Ended) -> None:
        """Note that a life of the server is over; what came of it was taken before."""
        self.write()
        self.ledger.end(ended)

    def write(self) -> None:
        """Write what was taken."""
        updates, self._waiting = self._waiting, []
        if not updates:
            return
        begin, end = self.rows, self.rows + len(updates)
        found: dict[Path, tuple[list[int], list[Any]]] = {}
        for row, update in enumerate(updates, begin):
            for path, value in leaves_of(update.data):
                rows_values = found.get(path)
                if rows_values is None:
                    rows_values = found[path] = [], []
                rows_values[0].append(row)
                rows_values[1].append(value)
        if not found.keys() <= self._keys.keys():
            keys = len(self._keys.keys() | found.keys())
            self._storage = self._storage._replace(chunk_bytes=_chunk_bytes(keys))
        for path, (rows, values) in found.items():
            self._key(path).write(rows, values, end)
        for name, values in (
            ("timestamp", [update.timestamp for update in updates]),
            ("epoch", [update.epoch for update in updates]),
            ("seq", [update.seq for update in updates]),
        ):
            stored = self._own[name]
            stored.write(begin, np.array(values, stored.dtype))
        self.ledger.take(updates)
        self.rows = end
        self._choose_signal()

    def finish(self) -> None:
        """Write all there is."""
        self.write()
        self.ledger.write()

    def _key(self, path: Path) -> KeyWriter:
        key = self._keys.get(path)
        if key is None:
            key = self._keys[path] = KeyWriter(
                self._group,
                path,
                lambda *wanted: free_name(self._group, *wanted),
                self.rows,
                self._described.get(str(path[0])),
                self._storage,
            )
        return key

    def _choose_signal(self) -> None:
        """Name what a viewer of NeXus files plots: the first array, or else the first number."""
        if self._signal is not None:
            return
        columns = [each for key in self._keys.values() for each in key.columns]
        plotted = [each for each in columns if each[0].kind in _PLOTTED]
        plotted.sort(key=lambda each: -len(each[0].shape))
        if not plotted:
            return
        form, dataset = plotted[0]
        self._signal = dataset.name.rpartition("/")[2]
        self._group.attrs["signal"] = self._signal
        self._group.attrs["axes"] = ["timestamp", *["."] * len(form.shape)]


def _chunk_bytes(keys: int) -> int:
    """Of many keys each takes less, or streams of few updates would take much of the disk."""
    return max(_LEAST_CHUNK_BYTES, min(_CHUNK_BYTES, _ALL_CHUNKS_BYTES // keys))


def free_name(group: h5py.Group, wanted: str, *endings: str) -> str:
    """Return a name that nothing in a group has: what was wanted, if that can be.

    Nor has anything the same name with one of the endings.
    """
    name = plain("".join("_" if char in "/\0" else char for char in wanted)).strip(".") or "_"
    numbered = (f"{name}#{number}" for number in itertools.count(2))
    return next(
        each
        for each in itertools.chain([name], numbered)
        if not any(each + ending in group for ending in ("", *endings))
    )
