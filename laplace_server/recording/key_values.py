"""The values of one key, over all files of a recording."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from laplace_server.recording.key_reader import ABSENT, KeyReader
from laplace_server.recording.values import Path


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
        plain = [reader.plain(rows) if reader else None for rows, reader in parts if rows]
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
        if picked.ndim != 1 or (picked.size and picked.dtype.kind not in "iub"):
            raise TypeError(f"rows are a number, a range or a list of numbers, not {rows!r}.")
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
            blocks = [reader.plain_rows(low, high) for low, high, reader in places if reader]
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


def name_of(path: Path) -> str:
    """Return how a key is named: what leads to it, with dots."""
    return ".".join(map(str, path))
