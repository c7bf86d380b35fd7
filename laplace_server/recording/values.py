"""What a value is in a file: its form, and how leaves of nested data are found and put together."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices that lead to a value."""

NUMBER, ARRAY, LIST, TEXT, JSON = "number", "array", "list", "text", "json"
RAGGED = "ragged "  # before "array" and "list", and where readers are live, "text" and "json"

_MOST_DIMENSIONS = 31  # and one of the rows
_EXACT = 1 << 53  # whole numbers up to here are exact as float64
_INT64, _UINT64 = 1 << 63, 1 << 64


class Form(NamedTuple):
    """How a value is stored: values of one form are one dataset."""

    kind: str
    dtype: str = ""
    """NumPy's text of it, such as "<f8"; "" of texts."""
    shape: tuple[int, ...] = ()


FLOAT, BOOL = Form(NUMBER, "<f8"), Form(NUMBER, "|b1")
INT, UNSIGNED = Form(NUMBER, "<i8"), Form(NUMBER, "<u8")
AS_TEXT, AS_JSON = Form(TEXT), Form(JSON)


def leaves_of(data: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Yield path and value of each leaf: objects are taken apart, lists where arrays are in them.

    An object or list without anything in it is a leaf.
    """
    for key, value in data.items():
        if type(value) in _SINGLE:
            yield (key,), value
        else:
            yield from _inside((key,), value)


_SINGLE = (float, int, str, bool, type(None), np.ndarray)


def _inside(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if type(value) is dict and value:
        items: Iterable[tuple[str | int, Any]] = value.items()
    elif type(value) is list and _holds_array(value):
        items = enumerate(value)
    else:
        yield path, value
        return
    for step, each in items:
        yield from _inside((*path, step), each)


def _holds_array(values: list[Any]) -> bool:
    return any(
        type(each) is np.ndarray
        or (type(each) is list and _holds_array(each))
        or (type(each) is dict and _holds_array(list(each.values())))
        for each in values
    )


def put_together(leaves: Iterable[tuple[Path, Any]]) -> dict[str, Any]:
    """Return the data that has these leaves."""
    top: dict[Any, Any] = {}
    lists: list[tuple[dict[Any, Any], str | int]] = []
    for path, value in leaves:
        container = top
        for step, following in itertools.pairwise(path):
            if step not in container:
                container[step] = {}
                if type(following) is int:
                    lists.append((container, step))
            container = container[step]
        container[path[-1]] = value
    for container, step in reversed(lists):  # what is inside first
        items = container[step]
        container[step] = [items[index] for index in sorted(items)]
    return top


def form_of(value: Any) -> Form:
    """Return how a leaf is stored."""
    kind = type(value)
    if kind is float:
        return FLOAT
    if kind is bool:
        return BOOL
    if kind is int:
        return INT if -_INT64 <= value < _INT64 else UNSIGNED if 0 < value < _UINT64 else AS_JSON
    if kind is str:
        return AS_TEXT if _is_plain(value) else AS_JSON
    if kind is np.ndarray:
        return _sized(ARRAY, value.dtype.str, value.shape)
    if kind is list:
        shape = _shape_of(value)
        if shape is not None:
            dtype = _dtype_of(value, len(shape))
            if dtype is not None:
                return _sized(LIST, dtype, shape)
    return AS_JSON


def _sized(kind: str, dtype: str, shape: tuple[int, ...]) -> Form:
    form = Form(kind, dtype, shape)
    # HDF5 has no chunks without elements, nor more dimensions than these.
    return form if 0 not in shape and len(shape) <= _MOST_DIMENSIONS else ragged(form)


def ragged(form: Form) -> Form:
    """Return that of arrays or lists of any lengths."""
    return Form(RAGGED + form.kind, form.dtype, (-1,) * len(form.shape))


def in_bytes(form: Form) -> Form:
    """Return that of texts whose bytes are stored as arrays are."""
    return Form(RAGGED + form.kind, "|u1", (-1,))


def is_exact_float(value: Any) -> bool:
    """Whether a whole number, or a list of some, is the same as float64."""
    if type(value) is list:
        return all(map(is_exact_float, value))
    return bool(type(value) is int and -_EXACT <= value <= _EXACT)


def as_json(value: Any) -> str:
    """Return any JSON value as ASCII text."""
    return json.dumps(value, separators=(",", ":"))


def _is_plain(text: str) -> bool:
    # HDF5's texts end at a NUL; lone surrogates are no UTF-8.
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _shape_of(values: list[Any], most: int = _MOST_DIMENSIONS) -> tuple[int, ...] | None:
    """Return the lengths of nested lists; None where they differ, or there is nothing in one."""
    if not values or not most:
        return None
    if type(values[0]) is not list:
        return (len(values),)
    inside = _shape_of(values[0], most - 1)
    if inside is None:
        return None
    for each in values[1:]:
        if type(each) is not list or _shape_of(each, most - 1) != inside:
            return None
    return (len(values), *inside)


def _dtype_of(values: list[Any], depth: int) -> str | None:
    """Return the type of all numbers in lists of equal lengths; None: there is no exact one."""
    flat: Sequence[Any] = values
    for _ in range(depth - 1):
        flat = [each for inside in flat for each in inside]
    kinds = set(map(type, flat))
    if kinds == {float}:
        return FLOAT.dtype
    if kinds == {bool}:
        return BOOL.dtype
    if kinds == {int} and all(-_INT64 <= each < _INT64 for each in flat):
        return INT.dtype
    if kinds == {int, float} and all(type(each) is float or is_exact_float(each) for each in flat):
        return FLOAT.dtype
    return None
