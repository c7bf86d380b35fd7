"""Updates of a stream, and how a message's bytes become some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import orjson

from laplace_server.client import _frames
from laplace_server.wire import arrays, message_json


class Update(NamedTuple):
    """One update of a stream."""

    seq: int
    """Its number, from 1 on; without a hole but for what is lost."""
    epoch: int
    """Which life of the server it comes from: another one counts from 1 again."""
    timestamp: float
    """When it was acquired, seconds since 1970."""
    data: dict[str, Any]
    """JSON values, and read-only NumPy arrays."""
    lost_before: int
    """Updates right before this one that are lost; with ``latest_only``, that were skipped."""

    @property
    def following(self) -> tuple[int, int]:
        """The ``start`` of a subscription that goes on behind this update: epoch and number."""
        return self.epoch, self.seq

    def copy(self) -> Update:
        """Return one whose data is the program's own: its arrays may be written to.

        It keeps nothing of the received message in memory.
        """
        return self._replace(data=arrays.own_copy(self.data))


Header: TypeAlias = tuple[int, int, int, int, int, int, int]
"""What ``stream_header`` returns: kind, arrays, subscription, updates, epoch, first, last."""

if TYPE_CHECKING:
    Batch: TypeAlias = _frames.Updates[Any]
else:
    Batch = _frames.Updates
"""The updates of a message, each made when it is taken; ``len`` tells how many are left."""


def no_updates() -> Batch:
    return Batch(Update, b"", [], 1, 0, 0, 0)


def datas_of(header: Header, body: bytes, buffers: Sequence[Any]) -> list[Any]:
    """Return the data of a message's updates.

    Args:
        buffers: the bytes of its arrays, of whatever supports Python's buffers; the arrays keep
            those that they need.

    Raises:
        LookupError, TypeError, ValueError, RecursionError: it cannot be read.
        LaplaceError: it holds arrays, and NumPy is not installed.
    """
    kind, count_arrays, _, count, _, _, _ = header
    if count_arrays != len(buffers):
        raise ValueError(f"{len(buffers)} arrays instead of {count_arrays}")
    text = _frames.stream_text(body, count)
    decode = orjson.loads if kind == _frames.UPDATES else message_json.decoded
    if count_arrays:
        if count != 1:
            raise ValueError(f"{count} updates with arrays in one message")
        data, described = decode(text)
        return [arrays.put_at_paths(data, described, buffers)]
    datas: list[Any] = decode(text)
    if len(datas) != count:
        raise ValueError(f"{len(datas)} updates instead of {count}")
    if set(map(type, datas)) != {dict}:
        raise ValueError("an update that is no object")
    return datas


def weight_of(value: Any) -> int:
    """About how many bytes of memory an update's data takes."""
    kind = type(value)
    if kind is float or kind is int:
        return 32
    if kind is dict:
        return 64 + sum(map(weight_of, value)) + sum(map(weight_of, value.values()))
    if kind is list:
        return 64 + sum(map(weight_of, value))
    if kind is str:
        return 50 + len(value)
    return 128 + int(getattr(value, "nbytes", 0))
