"""One stream in one file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from laplace_server.client.updates import Update
from laplace_server.recording.attributes import text_of
from laplace_server.recording.key_reader import ABSENT, KeyReader
from laplace_server.recording.ledger import LedgerRow, cut, grown, ledger_of, received_by
from laplace_server.recording.told_errors import check_open
from laplace_server.recording.values import Path, put_together

_OWN = ("seq", "epoch", "timestamp")
_BLOCK_BYTES = 32 << 20
_BLOCK_ROWS = 4096


def members_of(group: h5py.Group) -> Iterator[tuple[str, Any]]:
    """Yield what is in a group, by name.

    Raises:
        KeyError: a name leads nowhere: the file is written just now. (``items()`` gives None.)
    """
    for name in group:
        yield name, group[name]


class StreamPart:
    """Reads a stream's group; ``rows`` are those that were written whole."""

    def __init__(self, group: h5py.Group) -> None:
        self._group = group
        numbers = group["seq"][:]
        missing = np.nonzero(numbers == 0)[0]
        whole = int(missing[0]) if len(missing) else len(numbers)
        self.rows = min([whole, *(len(group[name]) for name in _OWN)])
        self.keys: dict[Path, KeyReader] = {}
        for _, dataset in members_of(group):
            told = dataset.attrs.get("path", dataset.attrs.get("which"))
            if told is not None:
                path = tuple(json.loads(told))
                self.keys.setdefault(path, KeyReader(path)).add(dataset)

    @property
    def name(self) -> str:
        """What the stream is called."""
        check_open(self._group)
        return text_of(self._group.attrs, "stream")

    def own(self, name: str) -> Any:
        """Return an array with "seq", "epoch" or "timestamp" of each row."""
        check_open(self._group)
        return self._group[name][: self.rows]

    def ledger(self) -> list[LedgerRow]:
        """Return the rows of its ledger, of just the updates that there are.

        A recorder that was killed, or writes at this moment, may have written a few more of one
        than of the other.
        """
        check_open(self._group)
        ledger = ledger_of(self._group["ledger"][:])
        told = received_by(ledger)
        if told > self.rows:
            return cut(ledger, self.rows)
        return grown(ledger, *(self._group[name][told : self.rows] for name in _OWN))

    def updates(self, begin: int, end: int) -> Iterator[Update]:
        """Yield rows as the updates that they were; what was lost, the ledger tells."""
        check_open(self._group)
        step = self._block_rows()
        for first in range(begin, end, step):
            yield from self._block(first, min(first + step, end))

    def _block(self, begin: int, end: int) -> Iterator[Update]:
        seq, epoch, timestamp = (self._group[name][begin:end].tolist() for name in _OWN)
        columns = [(path, key.read(begin, end)) for path, key in self.keys.items()]
        for row in range(end - begin):
            leaves = ((path, values[row]) for path, values in columns if values[row] is not ABSENT)
            yield Update(seq[row], epoch[row], timestamp[row], put_together(leaves), 0)

    def _block_rows(self) -> int:
        width = sum(key.row_bytes for key in self.keys.values())
        return max(1, min(_BLOCK_ROWS, int(_BLOCK_BYTES / max(1.0, width))))
