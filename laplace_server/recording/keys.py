"""One key of a stream: the columns of the forms that its values have, and which row has which."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import numpy as np

from laplace_server.description import KeyDescription
from laplace_server.recording.attributes import tell
from laplace_server.recording.columns import Column, RaggedColumn, companions, make_column
from laplace_server.recording.compression import Storage
from laplace_server.recording.rows import Rows
from laplace_server.recording.values import (
    FLOAT,
    INT,
    JSON,
    LIST,
    TEXT,
    UNSIGNED,
    Form,
    Path,
    form_of,
    in_bytes,
    is_exact_float,
    ragged,
)

_MOST_SHAPES = 4  # of a type; further ones share a column
_MOST_LIMITS_BYTES = 32 << 10  # HDF5 has attributes of 64 KiB at most; texts are elsewhere


class KeyWriter:
    """Writes what comes under one path.

    Args:
        group: of the stream.
        name_for: makes a name of a dataset that nothing in the group has yet, nor with one of the
            endings that follow it.
        before: rows that the stream has without this key.
        described: what the server says of it.
        storage: how values are stored.
    """

    def __init__(
        self,
        group: h5py.Group,
        path: Path,
        name_for: Callable[..., str],
        before: int,
        described: KeyDescription | None,
        storage: Storage,
    ) -> None:
        self._group = group
        self._path = path
        self._name_for = name_for
        self._described = described
        self._storage = storage
        self._columns: dict[Form, tuple[int, Column | RaggedColumn]] = {}
        self._known: set[Form] = set()  # those of the columns, and of what is written next
        self._shapes: Counter[Form] = Counter()
        self._rows = before
        self._which: Rows | None = None
        if before:
            self._begin_which(0)

    @property
    def columns(self) -> list[tuple[Form, h5py.Dataset]]:
        """What it has, oldest first."""
        return [(form, column.dataset) for form, (_, column) in self._columns.items()]

    def write(self, rows: Sequence[int], values: Sequence[Any], end: int) -> None:
        """Write values of rows, which grow; the stream has ``end`` rows then.

        Rows since the last call have no such key. Until there is one again, the datasets just end.
        """
        which = np.zeros(end - self._rows, "<u2")
        for form, (some_rows, some_values) in self._by_form(rows, values).items():
            number, column = self._column(form)
            column.write(some_rows, some_values)
            which[np.asarray(some_rows) - self._rows] = number
        self._tell_which(which, end)

    # ---- forms

    def _by_form(
        self, rows: Sequence[int], values: Sequence[Any]
    ) -> dict[Form, tuple[Sequence[int], Sequence[Any]]]:
        kinds = set(map(type, values))
        if kinds == {float}:
            self._know(FLOAT)
            return {FLOAT: (rows, values)}
        found: dict[Form, tuple[list[int], list[Any]]] = {}
        for row, value in zip(rows, values, strict=True):
            form = self._suited(form_of(value), value)
            self._know(form)
            some_rows, some_values = found.setdefault(form, ([], []))
            some_rows.append(row)
            some_values.append(value)
        return dict(found)

    def _know(self, form: Form) -> None:
        if form not in self._known:
            self._known.add(form)
            self._shapes[ragged(form)] += 1

    def _suited(self, form: Form, value: Any) -> Form:
        """Return one that is known already, if there is one that does."""
        if self._storage.swmr and form.kind in (TEXT, JSON):
            return in_bytes(form)
        if form in self._known:
            if form.dtype != INT.dtype:
                return form
        elif form.shape and -1 not in form.shape:
            alike = ragged(form)
            if self._shapes[alike] >= _MOST_SHAPES:
                form = alike
        if form in (INT, UNSIGNED) or (form.kind == LIST and form.dtype == INT.dtype):
            floats = form._replace(dtype=FLOAT.dtype)
            if (floats in self._known or self._is_described_as(floats)) and is_exact_float(value):
                return floats
        return form

    def _is_described_as(self, form: Form) -> bool:
        return self._described is not None and self._described.dtype == np.dtype(form.dtype).name

    def _column(self, form: Form) -> tuple[int, Column | RaggedColumn]:
        found = self._columns.get(form)
        if found is None:
            number = len(self._columns) + 1
            name = self._name_for(".".join(map(str, self._path)), *companions(form))
            column = make_column(self._group, name, form, self._storage)
            attributes = column.dataset.attrs
            attributes["path"] = json.dumps(self._path)
            attributes["form"] = form.kind
            attributes["number"] = number
            describe(column.dataset, self._described)
            found = self._columns[form] = number, column
        return found

    # ---- which row has which

    def _tell_which(self, which: Any, end: int) -> None:
        if self._which is None:
            if np.all(which == 1):
                self._rows = end
                return
            self._begin_which(1)
        assert self._which is not None
        self._which.write(self._rows, which)
        self._rows = end

    def _begin_which(self, so_far: int) -> None:
        name = self._name_for(".".join(map(str, self._path)) + ".which")
        self._which = Rows(
            self._group,
            name,
            "<u2",
            together=self._storage.chunk_bytes // 8,
            begin=self._rows,
            fillvalue=so_far,
        )
        self._which.dataset.attrs["which"] = json.dumps(self._path)


def describe(dataset: h5py.Dataset, described: KeyDescription | None) -> None:
    """Write what a server says of a key as attributes, under NeXus's names where it has some."""
    if described is None:
        return
    attributes = dataset.attrs
    if described.unit is not None:
        tell(attributes, "units", described.unit)
    if described.text:
        tell(attributes, "long_name", described.text)
    if described.limits is not None:
        limits = np.array(described.limits, "<f8")
        if limits.nbytes <= _MOST_LIMITS_BYTES:
            attributes["limits"] = limits
        else:
            attributes["limits.json"] = json.dumps(limits.tolist())
    attributes["writable"] = described.writable
