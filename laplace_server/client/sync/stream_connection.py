"""A connection for one subscription of a thread."""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from laplace_server.client import _frames
from laplace_server.client.stream_connection import LINGER_S, BaseStreamConnection
from laplace_server.client.subscription_protocol import SubscriptionProtocol
from laplace_server.client.subscription_steps import Connect, State
from laplace_server.client.sync.opening import connect


class StreamConnection(BaseStreamConnection):
    """Connects to a numeric address and asks for the stream.

    Args:
        protocol: of the subscription.
        question: what to say first, and where.
        numbers: of its messages; each is greater than those before.
        keys: of the client and the server.

    Raises:
        ZMQError: the system has no descriptors left.
    """

    _connection: _frames.Connection

    def __init__(
        self,
        protocol: SubscriptionProtocol,
        question: Connect,
        numbers: Iterator[int],
        keys: _frames.ClientKeys | None,
    ) -> None:
        self._closed_by: dict[str, int] = {}
        self._numbers = numbers
        connection = connect(_frames.DEALER, question.endpoint, keys)
        self.follow: Callable[[float, float, State], bool] | None = None
        """See ``_frames.follow``; None: the protocol has all messages read by itself."""
        if protocol.decodes:
            self.follow = functools.partial(_frames.follow, protocol, connection, numbers)
        super().__init__(connection, question)

    def receive(self, seconds: float, incoming: deque[Any]) -> bool:
        """Put the next message into ``incoming``, waiting for it up to ``seconds``."""
        before = len(incoming)
        # One call receives a message, numbers it and puts it there: Python runs signal handlers
        # before or after it. A number may be left out.
        message = filter(None, map(self._connection.receive, (seconds,)))
        incoming.extend(zip(self._numbers, message, strict=False))
        return len(incoming) > before

    def interrupt(self) -> None:
        """End the waiting of another thread, or of what a signal handler interrupted, for good."""
        self._connection.interrupt()

    def let_go(self) -> None:
        """Close the copy of it that a forked child has."""
        self._connection.close()

    def close(self, last_word: bytes | None = None) -> None:
        """Close it, after a last word if there is one, which has a moment to leave.

        Of several threads one does so, also where it was interrupted before.
        """
        me = threading.get_ident()
        if self._closed_by.setdefault("thread", me) != me:
            return
        if last_word is not None:
            self.send(last_word)
        self._connection.close(LINGER_S if last_word is not None else 0.0)
