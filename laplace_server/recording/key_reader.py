"""One key of a stream in one file, read row by row or as an array."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Final

import h5py
import numpy as np

from laplace_server.recording.told_errors import check_open, reading
from laplace_server.recording.values import ARRAY, JSON, LIST, NUMBER, RAGGED, TEXT, Path


class Absent:
    """What a row has that does not have a key."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = Absent()


class _Stored:
    def __init__(self, form: str, dataset: h5py.Dataset, lengths: h5py.Dataset | None) -> None:
        self.form = form
        self.dataset = dataset
        self.lengths = lengths

    @property
    def rows(self) -> int:
        return len(self.dataset if self.lengths is None else self.lengths)

    @property
    def row_bytes(self) -> float:
        """About so many bytes has a row."""
        dataset = self.dataset
        if self.lengths is not None:
            return int(dataset.nbytes) / max(1, len(self.lengths))
        return float(dataset.dtype.itemsize * math.prod(dataset.shape[1:]))

    def read(self, rows: Any) -> list[Any]:
        """Return the values of rows, which grow."""
        with reading(self.dataset):
            return self._read(rows)

    def _read(self, rows: Any) -> list[Any]:
        if self.lengths is not None:
            return self._read_ragged(rows)
        begin, end = int(rows[0]), int(rows[-1]) + 1
        if self.dataset.chunks[0] == 1 and end - begin > len(rows):  # large: only what is wanted
            block: Any = [self.dataset[row] for row in rows.tolist()]
        else:
            block = self.dataset[begin:end]
            if end - begin > len(rows):
                block = block[rows - begin]
        return _AS_VALUES[self.form](block)

    def _read_ragged(self, rows: Any) -> list[Any]:
        assert self.lengths is not None
        begin, end = int(rows[0]), int(rows[-1]) + 1
        lengths = self.lengths[begin:end]
        ends = self._ends[begin : end + 1]
        flat = self.dataset[ends[0] : ends[-1]]
        arrays = [
            flat[ends[row] - ends[0] : ends[row + 1] - ends[0]].reshape(lengths[row].tolist())
            for row in (rows - begin).tolist()
        ]
        return _AS_VALUES[self.form](arrays)

    @cached_property
    def _ends(self) -> Any:
        """Where each row's elements end, behind a 0."""
        assert self.lengths is not None
        sizes = np.prod(self.lengths[:], axis=1, dtype="i8")
        return np.concatenate([[0], np.cumsum(sizes)])


def _listed(block: Any) -> list[Any]:
    return [each.tolist() for each in block]


def _texts(block: Any) -> list[Any]:
    return [each.decode() for each in block]


_AS_VALUES: dict[str, Callable[[Any], list[Any]]] = {
    NUMBER: _listed,
    ARRAY: lambda block: [np.asarray(each) for each in block],
    LIST: _listed,
    TEXT: _texts,
    JSON: lambda block: [json.loads(each) for each in block],
    RAGGED + ARRAY: list,
    RAGGED + LIST: _listed,
    RAGGED + TEXT: lambda block: [each.tobytes().decode() for each in block],
    RAGGED + JSON: lambda block: [json.loads(each.tobytes()) for each in block],
}


class KeyReader:
    """A key's columns in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stored: dict[int, _Stored] = {}
        self._which: h5py.Dataset | None = None

    def add(self, dataset: h5py.Dataset) -> None:
        """Add one of its datasets."""
        if "which" in dataset.attrs:
            self._which = dataset
            return
        form = str(dataset.attrs["form"])
        lengths = dataset.parent[f"{dataset.name}.lengths"] if form.startswith(RAGGED) else None
        self._stored[int(dataset.attrs["number"])] = _Stored(form, dataset, lengths)

    def plain(self, rows: int) -> h5py.Dataset | None:
        """Return the dataset that has so many rows as they are; None: there is none."""
        if self._which is not None or len(self._stored) != 1:
            return None
        (stored,) = self._stored.values()
        check_open(stored.dataset)
        is_plain = stored.form in (NUMBER, ARRAY, LIST) and stored.rows >= rows
        return stored.dataset if is_plain else None

    def plain_rows(self, begin: int, end: int) -> Any:
        """Return rows of the dataset that has them as they are."""
        dataset = self.plain(end)
        assert dataset is not None
        with reading(dataset):
            return dataset[begin:end]

    @property
    def datasets(self) -> list[h5py.Dataset]:
        """All that it has, oldest first."""
        found = [self._stored[number].dataset for number in sorted(self._stored)]
        for each in found:
            check_open(each)
        return found

    @property
    def row_bytes(self) -> float:
        """About so many bytes has a row; texts of HDF5 count little."""
        return sum(stored.row_bytes for stored in self._stored.values())

    def read(self, begin: int, end: int) -> list[Any]:
        """Return the value of each row, ABSENT where it has none."""
        values: list[Any] = [ABSENT] * (end - begin)
        for number, rows in self._rows_by_column(begin, end):
            for row, value in zip(rows.tolist(), self._stored[number].read(rows), strict=True):
                values[row - begin] = value
        return values

    def has(self, begin: int, end: int) -> Any:
        """Return an array of bools: which rows have a value."""
        found = np.zeros(end - begin, bool)
        for _, rows in self._rows_by_column(begin, end):
            found[rows - begin] = True
        return found

    def _rows_by_column(self, begin: int, end: int) -> Iterator[tuple[int, Any]]:
        for stored in self._stored.values():
            check_open(stored.dataset)
        if self._which is None:
            which = np.ones(end - begin, "u2")
        else:
            which = np.zeros(end - begin, "u2")
            told = self._which[begin:end]
            which[: len(told)] = told
        for number, stored in self._stored.items():
            rows = np.nonzero(which == number)[0] + begin
            rows = rows[rows < stored.rows]
            if len(rows):
                yield number, rows
