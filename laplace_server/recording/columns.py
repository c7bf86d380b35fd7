"""Datasets that hold the values of one key, row by row.

A chunk that is compressed is written once, and others stay where they are: so what a commit has
written is not touched by what comes later (see ``ordered_file``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import numpy as np

from laplace_server.recording.compression import Storage
from laplace_server.recording.rows import Rows
from laplace_server.recording.values import JSON, RAGGED, TEXT, Form, as_json

_SINGLY_BYTES = 16 << 10  # values from here on are a chunk each, and compressed
_MOST_ROWS = 4096
_STACKED_BYTES = 256 << 10  # larger values are written one by one: stacking them would copy

_LENGTHS = ".lengths"

_BYTES_OF: dict[str, Callable[[Any], bytes]] = {
    RAGGED + TEXT: lambda value: str(value).encode(),
    RAGGED + JSON: lambda value: as_json(value).encode(),
}


class Column:
    """Values of one form. Rows without one have zeros, or are beyond its end."""

    def __init__(self, group: h5py.Group, name: str, form: Form, storage: Storage) -> None:
        dtype = stored_dtype(form)
        row_bytes = dtype.itemsize * math.prod(form.shape)
        single = row_bytes >= _SINGLY_BYTES
        self._encode = as_json if form.kind == JSON else None
        self._rows = Rows(
            group,
            name,
            dtype,
            form.shape,
            together=1 if single else min(_MOST_ROWS, max(1, storage.chunk_bytes // row_bytes)),
            **(storage.compressed if single else {}),
        )
        self.dataset = self._rows.dataset

    def write(self, rows: Sequence[int], values: Sequence[Any]) -> None:
        """Write values of these rows, which grow."""
        stored, begin, end = self._rows, rows[0], rows[-1] + 1
        if stored.row_bytes >= _STACKED_BYTES:
            for row, value in zip(rows, values, strict=True):
                stored.write(row, np.asarray(value, stored.dtype)[np.newaxis])
            return
        if self._encode is not None:
            values = [self._encode(value) for value in values]
        block = np.array(values, stored.dtype)
        if end - begin != len(rows):
            fill = b"" if stored.dtype.kind == "O" else 0
            filled = np.full((end - begin, *stored.inner), fill, stored.dtype)
            filled[np.asarray(rows) - begin] = block
            block = filled
        stored.write(begin, block)


class RaggedColumn:
    """Arrays, lists or texts of any lengths: all their elements, and a table of lengths."""

    def __init__(self, group: h5py.Group, name: str, form: Form, storage: Storage) -> None:
        self._dtype = np.dtype(form.dtype)
        self._encode = _BYTES_OF.get(form.kind)
        self._dimensions = len(form.shape)
        together = max(2, storage.chunk_bytes // self._dtype.itemsize)
        self._elements = Rows(group, name, self._dtype, together=together)
        self._lengths = Rows(
            group,
            name + _LENGTHS,
            "<u8",
            (self._dimensions,),
            together=max(2, storage.chunk_bytes // 64),
        )
        self.dataset = self._elements.dataset

    def write(self, rows: Sequence[int], values: Sequence[Any]) -> None:
        """Write values of these rows, which grow."""
        begin = rows[0]
        lengths = np.zeros((rows[-1] + 1 - begin, self._dimensions), "<u8")
        if self._encode is not None:
            values = [np.frombuffer(self._encode(value), self._dtype) for value in values]
        arrays = [np.asarray(value, self._dtype) for value in values]
        for row, array in zip(rows, arrays, strict=True):
            lengths[row - begin] = array.shape
        elements = self._elements
        elements.write(len(elements), np.concatenate([array.ravel() for array in arrays]))
        self._lengths.write(begin, lengths)


def companions(form: Form) -> tuple[str, ...]:
    """Return what is behind the names of further datasets of a form."""
    return (_LENGTHS,) if form.kind.startswith(RAGGED) else ()


def make_column(
    group: h5py.Group, name: str, form: Form, storage: Storage
) -> Column | RaggedColumn:
    """Make the datasets of a form."""
    if form.kind.startswith(RAGGED):
        return RaggedColumn(group, name, form, storage)
    return Column(group, name, form, storage)


def stored_dtype(form: Form) -> np.dtype[Any]:
    """Return the type of a form's elements in a file."""
    if form.kind in (TEXT, JSON):
        text: np.dtype[Any] = h5py.string_dtype()
        return text
    return np.dtype(form.dtype)
