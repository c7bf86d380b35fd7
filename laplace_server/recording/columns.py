"""Datasets that hold the values of one key, row by row.

A chunk that is compressed is written once, and others stay where they are: so what a commit has
written is not touched by what comes later (see ``ordered_file``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from laplace_server.recording.values import JSON, RAGGED, TEXT, Form, as_json

_SINGLY_BYTES = 16 << 10  # values from here on are a chunk each, and compressed
_CHUNK_BYTES = 32 << 10  # of smaller ones together
_MOST_ROWS = 4096
_STACKED_BYTES = 256 << 10  # larger values are written one by one: stacking them would copy

_BYTES_OF: dict[str, Callable[[Any], bytes]] = {
    RAGGED + TEXT: lambda value: str(value).encode(),
    RAGGED + JSON: lambda value: as_json(value).encode(),
}


class Column:
    """Values of one form. Rows without one have zeros, or are beyond its end."""

    def __init__(
        self, group: h5py.Group, name: str, form: Form, compressed: Mapping[str, Any]
    ) -> None:
        self._dtype = stored_dtype(form)
        self._shape = form.shape
        self._encode = as_json if form.kind == JSON else None
        self._row_bytes = self._dtype.itemsize * math.prod(form.shape)
        single = self._row_bytes >= _SINGLY_BYTES
        rows = 1 if single else min(_MOST_ROWS, max(1, _CHUNK_BYTES // self._row_bytes))
        self.dataset = group.create_dataset(
            name,
            (0, *form.shape),
            self._dtype,
            maxshape=(None, *form.shape),
            chunks=(rows, *form.shape),
            **(compressed if single else {}),
        )

    def write(self, rows: Sequence[int], values: Sequence[Any]) -> None:
        """Write values of these rows, which grow."""
        dataset, begin, end = self.dataset, rows[0], rows[-1] + 1
        if end > len(dataset):
            dataset.resize(end, 0)
        if self._row_bytes >= _STACKED_BYTES:
            for row, value in zip(rows, values, strict=True):
                dataset[row] = np.asarray(value, self._dtype)
            return
        if self._encode is not None:
            values = [self._encode(value) for value in values]
        block = np.array(values, self._dtype)
        if end - begin != len(rows):
            fill = b"" if self._dtype.kind == "O" else 0
            filled = np.full((end - begin, *self._shape), fill, self._dtype)
            filled[np.asarray(rows) - begin] = block
            block = filled
        dataset[begin:end] = block


class RaggedColumn:
    """Arrays, lists or texts of any lengths: all their elements, and a table of lengths."""

    def __init__(self, group: h5py.Group, name: str, form: Form) -> None:
        self._dtype = np.dtype(form.dtype)
        self._encode = _BYTES_OF.get(form.kind)
        self._dimensions = len(form.shape)
        chunk = max(1, _CHUNK_BYTES // self._dtype.itemsize)
        self.dataset = group.create_dataset(
            name, (0,), self._dtype, maxshape=(None,), chunks=(chunk,)
        )
        self._lengths = group.create_dataset(
            f"{name}.lengths",
            (0, self._dimensions),
            "<u8",
            maxshape=(None, self._dimensions),
            chunks=(_MOST_ROWS // 8, self._dimensions),
        )

    def write(self, rows: Sequence[int], values: Sequence[Any]) -> None:
        """Write values of these rows, which grow."""
        begin, end = rows[0], rows[-1] + 1
        lengths = np.zeros((end - begin, self._dimensions), "<u8")
        if self._encode is not None:
            values = [np.frombuffer(self._encode(value), self._dtype) for value in values]
        arrays = [np.asarray(value, self._dtype) for value in values]
        for row, array in zip(rows, arrays, strict=True):
            lengths[row - begin] = array.shape
        elements = np.concatenate([array.ravel() for array in arrays])
        used = len(self.dataset)
        self.dataset.resize(used + len(elements), 0)
        self.dataset[used:] = elements
        if end > len(self._lengths):
            self._lengths.resize(end, 0)
        self._lengths[begin:end] = lengths


def make_column(
    group: h5py.Group, name: str, form: Form, compressed: Mapping[str, Any]
) -> Column | RaggedColumn:
    """Make the datasets of a form."""
    if form.kind.startswith(RAGGED):
        return RaggedColumn(group, name, form)
    return Column(group, name, form, compressed)


def stored_dtype(form: Form) -> np.dtype[Any]:
    """Return the type of a form's elements in a file."""
    if form.kind in (TEXT, JSON):
        text: np.dtype[Any] = h5py.string_dtype()
        return text
    return np.dtype(form.dtype)
