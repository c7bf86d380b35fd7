"""What the connections of subscriptions have in common: they move bytes, and decide nothing.

An exception out of a signal handler may leave any of this at any point, and all can be begun again:
what was received is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from laplace_server.client.no_answer import Attempt
from laplace_server.client.subscription_protocol import SubscriptionProtocol
from laplace_server.client.subscription_steps import Connect

LINGER_S = 0.1  # for the last word


class Connection(Attempt, Protocol):
    """What moves the bytes."""

    @property
    def ready(self) -> bool:
        """Whether the handshake is over."""

    def send(self, frames: Sequence[bytes]) -> bool:
        """Send without waiting; False: it is broken."""


class BaseStreamConnection:
    """A connection that begins by asking for the stream.

    Args:
        connection: a new one, which is this one's from now on.
        question: what to say first, and where.
    """

    _connection: Connection

    def __init__(self, connection: Connection, question: Connect) -> None:
        self.question = question
        self.is_over = False
        """The protocol was told that it is broken."""
        self._told_made = self._told_ready = False
        self._connection = connection
        self.send(question.body)

    def send(self, body: bytes) -> bool:
        """Send without waiting; there is always room. False: it is broken."""
        return self._connection.send((b"", body))

    def tell(self, protocol: SubscriptionProtocol, now: float) -> bool:
        """Tell what has become of the connection; say whether it has broken since the last time.

        All that came before is in ``incoming`` by then.
        """
        if self.is_over:
            return False
        connection = self._connection
        if connection.connected and not self._told_made:
            protocol.made(now)
            self._told_made = True
        if connection.ready and not self._told_ready:
            protocol.ready()
            self._told_ready = True
        if not connection.broken:
            return False
        if connection.refused:
            protocol.refused()
        else:
            # Before the end of the handshake nobody had the question.
            protocol.broken("" if connection.ready else connection.trouble)
        self.is_over = True
        return True
