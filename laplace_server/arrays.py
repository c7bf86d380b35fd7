"""NumPy arrays out of frames: read-only, and not copied where that can be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import zmq

from laplace_server.errors import LaplaceError
from laplace_server.extras import how_to_install

_DTYPE = re.compile(r"[<>|=][biufc][0-9]{1,2}")

# A small frame is a part of what was received with others, all of which it would keep in memory.
_SMALL_FRAME = 4096  # bytes


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


def array_of(frame: zmq.Frame, dtype: str, shape: Sequence[int]) -> Any:
    """Return a frame's content as an array; small or unaligned ones are copied.

    Raises:
        LaplaceError: NumPy is not installed.
        ValueError, TypeError: type, shape and size do not fit together.
    """
    if not _DTYPE.fullmatch(dtype):  # whatever else NumPy would make of it
        raise ValueError(f"no type of numbers: {dtype!r}")
    # Read-only buffers, so that nobody can make the array writable.
    buffer = frame.bytes if len(frame) <= _SMALL_FRAME else frame.buffer.toreadonly()
    array = numpy().frombuffer(buffer, dtype=dtype).reshape(shape)
    if not array.flags.aligned:
        array = array.copy()
        array.flags.writeable = False
    return array


def put_at_paths(data: Any, described: Sequence[Any], frames: Sequence[zmq.Frame]) -> Any:
    """Put arrays where their ``path`` says and return the data.

    Raises:
        LaplaceError: NumPy is not installed.
        ValueError, TypeError, LookupError: the descriptions do not fit the data or the frames.
    """
    for frame, each in zip(frames, described, strict=True):
        *path, last = each["path"]
        container = data
        for step in path:
            container = container[step]
        container[last] = array_of(frame, each["dtype"], each["shape"])
    return data
