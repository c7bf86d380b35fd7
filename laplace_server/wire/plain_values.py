"""What clients send, made into what JSON has: the same as servers make of their data.

NumPy is not imported here: whoever has a value of NumPy's has imported it.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
import os
import sys
import uuid
from collections.abc import Mapping
from typing import Any


def simpler(value: Any) -> Any:
    """Return what is closer to JSON; what is in it may have to be made simpler, too.

    Raises:
        TypeError: there is nothing like it.
    """
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return _of_numpy(value)


def _of_numpy(value: Any) -> Any:
    """Make lists of arrays and Python's values of scalars, known by their methods alone."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind == "m":
        raise TypeError(_refusal(value))
    if kind == "M":
        return _dates_as_text(value)
    tolist = getattr(value, "tolist", None)
    if not callable(tolist):
        raise TypeError(_refusal(value))
    simple = tolist()
    if type(simple) is not type(value):
        return simple
    # Extended precision: Python has nothing like it either.
    return [float(value.real), float(value.imag)] if kind == "c" else float(value)


def _dates_as_text(value: Any) -> Any:
    numpy = sys.modules["numpy"]
    texts = numpy.datetime_as_string(value)
    mask = getattr(value, "mask", None)
    return (texts if mask is None else numpy.ma.array(texts, mask=mask)).tolist()


def plain(message: Mapping[str, Any]) -> Any:
    """Return a message of dicts with text as keys, lists and what JSON has, all the way down.

    Raises:
        TypeError: a value or a key that JSON has nothing like; the text names its place.
        ValueError: nested too deeply, or in a circle.
    """
    path: list[Any] = []
    try:
        return _plain(message, path)
    except RecursionError:
        raise ValueError("A value to be sent is nested too deeply, or is circular.") from None
    except Exception as error:
        # The keys and indices that led there; the envelope itself has nothing to refuse.
        place = "".join([str(step) if n == 0 else f"[{step!r}]" for n, step in enumerate(path)])
        raise TypeError(f"{place}: {error}") from None


def _plain(value: Any, path: list[Any]) -> Any:
    if isinstance(value, dict):
        return {_text_of(key): _inside(item, key, path) for key, item in list(value.items())}
    if isinstance(value, (list, tuple)):
        return [_inside(item, n, path) for n, item in enumerate(list(value))]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return _plain(simpler(value), path)


def _inside(value: Any, step: Any, path: list[Any]) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    path.append(step)
    made = _plain(value, path)
    path.pop()
    return made


def _text_of(key: Any) -> str:
    """Return the text that json makes of a key, and of some more types than it knows."""
    if isinstance(key, str):
        return str.__str__(key)
    if key is None:
        return "null"
    if key is True or key is False:
        return "true" if key else "false"
    if isinstance(key, int):
        return int.__repr__(key)
    if isinstance(key, float):
        if math.isfinite(key):
            return float.__repr__(key)
        return "NaN" if math.isnan(key) else "Infinity" if key > 0 else "-Infinity"
    if not isinstance(key, (tuple, frozenset, complex)):
        simple = simpler(key)
        if not isinstance(simple, (dict, list, bytes)):
            return _text_of(simple)
    raise TypeError(f"a key of type {type(key).__name__} cannot be sent")


def _refusal(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    what = type(value).__name__ if dtype is None else f"NumPy {dtype}"
    return f"a value of type {what} cannot be sent: JSON has nothing like it"
