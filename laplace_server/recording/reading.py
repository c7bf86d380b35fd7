"""Recordings read back: servers, their streams, and the values of keys, over all files."""

from __future__ import annotations

import contextlib
import json
import os
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from laplace_server.client.updates import Update
from laplace_server.recording.key_reader import ABSENT, KeyReader
from laplace_server.recording.ledger import LedgerRow, continued
from laplace_server.recording.part_names import paths_of
from laplace_server.recording.stream_part import StreamPart
from laplace_server.recording.values import Path

_CHANCES, _PAUSE_S = 5, 0.05


class Values:
    """The values of one key, a row for each update; they are read when they are asked for.

    Where all are numbers, arrays or lists of one type and shape, it is like a NumPy array:
    ``values[3]``, ``values[10:20, :, 5]``, ``numpy.asarray(values)``. Else ``values[3]`` is one
    value and ``values[10:20]`` a list, with ``ABSENT`` for updates without this key.
    """

    def __init__(self, path: Path, parts: list[tuple[int, KeyReader | None]]) -> None:
        self.path = path
        self._readers = [reader for _, reader in parts]
        self._ends = np.cumsum([rows for rows, _ in parts]).tolist()
        self._begins = [0, *self._ends[:-1]]
        plain = [reader.plain if reader else None for rows, reader in parts if rows]
        kinds = {None if each is None else (each.dtype, each.shape[1:]) for each in plain}
        self.regular = len(kinds) == 1 and None not in kinds
        """Whether all have the same type and shape."""
        self.dtype: np.dtype[Any] | None = None
        self.shape: tuple[int, ...] = (len(self),)
        if self.regular:
            ((self.dtype, inner),) = kinds  # type: ignore[misc]
            self.shape = (len(self), *inner)

    @property
    def attributes(self) -> dict[str, Any]:
        """What the file says of it: "units", "long_name", "limits"."""
        first = next(reader for reader in self._readers if reader is not None)
        return dict(first.datasets[0].attrs)

    @property
    def present(self) -> Any:
        """An array of bools: which updates have this key."""
        return np.concatenate(
            [
                np.zeros(end - begin, bool) if reader is None else reader.has(0, end - begin)
                for begin, end, reader in self._places(0, len(self))
            ]
            or [np.zeros(0, bool)]
        )

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Any]:
        for row in range(len(self)):
            yield self[row]

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, tuple):
            index = (index,)
        rows, inner = index[0] if index else slice(None), index[1:]
        each_row = (slice(None), *inner)
        if rows is Ellipsis:
            return np.asarray(self)[index]
        if isinstance(rows, slice):
            begin, end, step = rows.indices(len(self))
            if step > 0:
                block = self._block(begin, max(begin, end))[::step]
                return block[each_row] if inner else block
        elif isinstance(rows, (int, np.integer)):
            row = int(rows) + (len(self) if rows < 0 else 0)
            if not 0 <= row < len(self):
                raise IndexError(f"row {rows} of {len(self)}")
            value = self._block(row, row + 1)[0]
            return value[inner] if inner else value
        if not self.regular:
            raise TypeError(f"rows are a number or a range with a positive step, not {rows!r}.")
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        picked = np.asarray(rows)
        chosen = np.nonzero(picked)[0] if picked.dtype == bool else picked
        stacked = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        for place, row in enumerate(chosen.tolist()):
            stacked[place] = self[row]
        return stacked[each_row]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if not self.regular:
            raise TypeError(f"{self!r} has no one type and shape: read it row by row.")
        return np.asarray(self._block(0, len(self)), dtype)

    def __repr__(self) -> str:
        what = f"{self.dtype} {self.shape}" if self.regular else f"{len(self)} rows, mixed"
        return f"<values of {name_of(self.path)!r}: {what}>"

    def _block(self, begin: int, end: int) -> Any:
        places = self._places(begin, end)
        if self.regular:
            # Out of an empty part nothing comes, and it may have no such key.
            blocks = [reader.plain[low:high] for low, high, reader in places if reader]  # type: ignore[index]
            if len(blocks) == 1:
                return blocks[0]
            return np.concatenate(blocks or [np.zeros((0, *self.shape[1:]), self.dtype)])
        values: list[Any] = []
        for low, high, reader in places:
            values += [ABSENT] * (high - low) if reader is None else reader.read(low, high)
        return values

    def _places(self, begin: int, end: int) -> Iterator[tuple[int, int, KeyReader | None]]:
        for first, last, reader in zip(self._begins, self._ends, self._readers, strict=True):
            low, high = max(begin, first), min(end, last)
            if low < high:
                yield low - first, high - first, reader


class Stream(Mapping[str, Values]):
    """A stream of a recording: ``stream["image"]``, or ``stream["camera.image"]`` of nested data.

    Updates are rows, in the order they were published.
    """

    def __init__(self, parts: list[StreamPart]) -> None:
        self._parts = parts
        self._ends = np.cumsum([part.rows for part in parts]).tolist()
        paths = dict.fromkeys(path for part in parts for path in part.keys)
        self._paths: dict[str, Path] = {}
        for path in paths:
            name = name_of(path)
            self._paths[json.dumps(path) if name in self._paths else name] = path

    @property
    def name(self) -> str:
        """What it is called."""
        return self._parts[0].name

    @property
    def rows(self) -> int:
        """How many updates it has."""
        return self._ends[-1] if self._ends else 0

    @property
    def seq(self) -> Any:
        """The number of each update."""
        return self._own("seq")

    @property
    def epoch(self) -> Any:
        """Which life of the server each update comes from."""
        return self._own("epoch")

    @property
    def timestamps(self) -> Any:
        """When each was acquired, seconds since 1970."""
        return self._own("timestamp")

    @property
    def times(self) -> Any:
        """The same as NumPy's datetime64, UTC, in microseconds."""
        return np.round(self.timestamps * 1e6).astype("i8").astype("M8[us]")

    @property
    def ledger(self) -> list[LedgerRow]:
        """What was received and what is missing, in order."""
        rows: list[LedgerRow] = []
        for part in self._parts:
            rows = continued(rows, part.ledger())
        return rows

    @property
    def lost(self) -> int:
        """How many updates are known to be missing."""
        return sum(each.last - each.first + 1 for each in self.ledger if each.kind == "lost")

    def updates(self, begin: int = 0, end: int | None = None) -> Iterator[Update]:
        """Yield rows as the updates that they were: data, numbers, times."""
        begin, end, _ = slice(begin, end).indices(self.rows)
        before = 0
        for part in self._parts:
            low, high = max(begin - before, 0), min(end - before, part.rows)
            if low < high:
                yield from part.updates(low, high)
            before += part.rows

    def update(self, row: int) -> Update:
        """Return one row as the update that it was."""
        row = row + self.rows if row < 0 else row
        if not 0 <= row < self.rows:
            raise IndexError(f"row {row} of {self.rows}")
        at = bisect_right(self._ends, row)
        row -= self._ends[at] - self._parts[at].rows
        return next(self._parts[at].updates(row, row + 1))

    def to_xarray(self) -> Any:
        """Return an xarray.Dataset of the keys that are like arrays, over time.

        Others, such as texts and keys that some updates do not have, are object arrays.

        Raises:
            ImportError: xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise ImportError(
                f"to_xarray takes xarray, which cannot be imported ({error}): pip install xarray",
                name="xarray",
            ) from error
        variables = {}
        for name, values in self.items():
            content = np.asarray(values) if values.regular else _objects(list(values))
            inner = [f"{name}_{n}" for n in range(content.ndim - 1)]
            kept = {k: v for k, v in values.attributes.items() if k in ("units", "long_name")}
            variables[f"{name}_" if name in _COORDINATES else name] = (
                ["time", *inner],
                content,
                kept,
            )
        own = {"time": self.times, "seq": ("time", self.seq), "epoch": ("time", self.epoch)}
        return xarray.Dataset(variables, own)

    def _own(self, name: str) -> Any:
        return np.concatenate([part.own(name) for part in self._parts])

    def __getitem__(self, key: str | Path) -> Values:
        path = key if isinstance(key, tuple) else self._paths.get(key, (key,))
        if not any(path in part.keys for part in self._parts):
            raise KeyError(key)
        return Values(path, [(part.rows, part.keys.get(path)) for part in self._parts])

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        return f"<stream {self.name!r}: {self.rows} updates, {', '.join(self._paths)}>"


_COORDINATES = ("time", "seq", "epoch")


class Server(Mapping[str, Stream]):
    """A server of a recording, and its streams by name."""

    def __init__(self, groups: list[h5py.Group]) -> None:
        self._groups = groups
        parts: dict[str, list[StreamPart]] = {}
        for group in groups:
            for each in group.values():
                if "stream" in each.attrs:
                    part = StreamPart(each)
                    parts.setdefault(part.name, []).append(part)
        self._streams = {name: Stream(each) for name, each in parts.items()}

    @property
    def name(self) -> str:
        """What it calls itself."""
        return str(self._groups[-1].attrs["name"])

    @property
    def address(self) -> str:
        """Where it was."""
        return str(self._groups[-1].attrs["address"])

    @property
    def info(self) -> dict[str, Any]:
        """What INFO told of it last; {} where it was never told."""
        told: dict[str, Any] = json.loads(self._groups[-1]["info"][()] or b"{}")
        return told

    def __getitem__(self, stream: str) -> Stream:
        return self._streams[stream]

    def __iter__(self) -> Iterator[str]:
        return iter(self._streams)

    def __len__(self) -> int:
        return len(self._streams)

    def __repr__(self) -> str:
        return f"<server {self.name!r}: {', '.join(self._streams)}>"


class Recording(Mapping[str, Server]):
    """All files of a recording; close it, or use it as a context manager."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        for chance in reversed(range(_CHANCES)):
            try:
                self._open(path)
                return
            except (OSError, KeyError, RuntimeError):
                # While it is written, a commit may come between two looks at its tables.
                if not chance or not os.path.exists(path):
                    raise
                time.sleep(_PAUSE_S)

    def _open(self, path: str | os.PathLike[str]) -> None:
        with contextlib.ExitStack() as stack:
            files = [
                stack.enter_context(h5py.File(each, "r", locking=False)) for each in paths_of(path)
            ]
            self.files = [each.filename for each in files]
            """Their paths, in order."""
            numbers = [int(each.attrs["part"]) for each in files]
            self.missing_parts = sorted(set(range(1, numbers[-1] + 1)) - set(numbers))
            """Numbers of files that are not there any more."""
            self._servers = {name: Server(each) for name, each in _by_server(files).items()}
            self._files = stack.pop_all()

    def close(self) -> None:
        """Close the files: what was not read cannot be read any more."""
        self._files.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __getitem__(self, server: str) -> Server:
        return self._servers[server]

    def __iter__(self) -> Iterator[str]:
        return iter(self._servers)

    def __len__(self) -> int:
        return len(self._servers)

    def __repr__(self) -> str:
        return f"<recording of {', '.join(self._servers) or 'nothing yet'}>"


def name_of(path: Path) -> str:
    """Return how a key is named: what leads to it, with dots."""
    return ".".join(map(str, path))


def _by_server(files: list[h5py.File]) -> dict[str, list[h5py.Group]]:
    """Return the groups of each server: what is at one address is one, under its first name."""
    names: dict[str, str] = {}
    found: dict[str, list[h5py.Group]] = {}
    for file in files:
        for name, group in file.items():
            address = str(group.attrs["address"])
            if address not in names:
                while name in found:  # another one's, in another file
                    name += "'"
                names[address] = name
            found.setdefault(names[address], []).append(group)
    return found


def _objects(values: list[Any]) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array
