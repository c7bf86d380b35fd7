"""Updates as the server sent them, undecoded: for whoever hands them on."""

from __future__ import annotations

from typing import NamedTuple

from laplace_server.client import _frames
from laplace_server.client.subscription_protocol import SubscriptionProtocol
from laplace_server.client.subscription_reader import Message
from laplace_server.client.updates import Batch, Header


class Pack(NamedTuple):
    """The updates of one message."""

    last: int
    """Number of its last update."""
    epoch: int
    """Which life of the server they come from."""
    timestamp: float
    """When the first of them was acquired, seconds since 1970."""
    frames: tuple[bytes, ...]
    """A header, with the updates' times and JSON; then each array (docs/streams.md)."""
    lost_before: int
    """Updates that are lost right before the first of them that is new."""

    @property
    def first(self) -> int:
        """Number of its first update; after a broken connection, that may be one that has come."""
        header = _frames.stream_header(self.frames[0])
        assert header is not None
        return header[5]

    @property
    def following(self) -> tuple[int, int]:
        """The ``start`` of a subscription that goes on behind it: epoch and number."""
        return self.epoch, self.last


class PackProtocol(SubscriptionProtocol):
    """A subscription's protocol whose batch is a ``Pack``."""

    decodes = False

    def _batch_of(
        self, header: Header, body: bytes, message: Message, lost_before: int, known: int
    ) -> Batch:
        _, count_arrays, _, count, epoch, first, _ = header
        if count_arrays != len(message) - 2:
            raise ValueError(f"{len(message) - 2} arrays instead of {count_arrays}")
        frames = (body, *map(bytes, message[2:]))
        return Batch(Pack, body, [frames], first + count - 1, epoch, lost_before, 0)
