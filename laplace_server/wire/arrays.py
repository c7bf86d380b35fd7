"""NumPy arrays out of a message's buffers: read-only, and not copied where that can be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from laplace_server.errors import LaplaceError
from laplace_server.wire.extras import how_to_install

_DTYPE = re.compile(r"[<>|=][biufc][0-9]{1,2}")

_CONTAINERS = (dict, list)
_VALUES = (str, int, float, bool, type(None))  # of JSON; all else is an array

# A small one is a part of what was received with others, all of which it would keep in memory.
_SMALL_BUFFER = 4096  # bytes


def numpy() -> Any:
    """Return NumPy.

    Raises:
        LaplaceError: it is not installed.
    """
    # Never out of sys.modules: this waits for an import that another thread has begun.
    try:
        import numpy
    except ImportError:
        raise LaplaceError(
            f"Arrays take NumPy, which is not installed. {how_to_install('arrays')}"
        ) from None
    return numpy


def array_of(buffer: Any, dtype: str, shape: Sequence[int]) -> Any:
    """Return a buffer's content as an array; small or unaligned ones are copied.

    Raises:
        LaplaceError: NumPy is not installed.
        ValueError, TypeError: type, shape and size do not fit together.
    """
    if not _DTYPE.fullmatch(dtype):  # whatever else NumPy would make of it
        raise ValueError(f"no type of numbers: {dtype!r}")
    # Read-only, so that nobody can make the array writable.
    content = memoryview(buffer).toreadonly()
    if content.nbytes <= _SMALL_BUFFER:
        content = memoryview(bytes(content))
    array = numpy().frombuffer(content, dtype=dtype).reshape(shape)
    if not array.flags.aligned:
        array = array.copy()
        array.flags.writeable = False
    return array


def own_copy(data: Any) -> Any:
    """Return decoded data with containers and arrays of its own; the arrays may be written to."""
    top = [data]
    unfinished: list[Any] = [top]
    while unfinished:  # JSON may be nested more deeply than calls
        container = unfinished.pop()
        for key, value in container.items() if type(container) is dict else enumerate(container):
            if type(value) in _CONTAINERS:
                container[key] = own = value.copy()
                unfinished.append(own)
            elif type(value) not in _VALUES:
                container[key] = value.copy()
    return top[0]


def put_at_paths(data: Any, described: Sequence[Any], buffers: Sequence[Any]) -> Any:
    """Put arrays where their ``path`` says and return the data.

    Raises:
        LaplaceError: NumPy is not installed.
        ValueError, TypeError, LookupError: the descriptions do not fit the data or the buffers.
    """
    for buffer, each in zip(buffers, described, strict=True):
        *path, last = each["path"]
        container = data
        for step in path:
            container = container[step]
            # An array that was put there before would be indexed, and by a list copied many times.
            if type(container) not in _CONTAINERS:
                raise TypeError(f"nothing can be put into {type(container).__name__}")
        container[last] = array_of(buffer, each["dtype"], each["shape"])
    return data
