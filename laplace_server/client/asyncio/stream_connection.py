"""A connection for one subscription of asyncio."""

from __future__ import annotations

from collections.abc import Iterator

from laplace_server.client._frames import DEALER, ClientKeys
from laplace_server.client.asyncio import opening
from laplace_server.client.asyncio.inbox import Inbox
from laplace_server.client.stream_connection import LINGER_S, BaseStreamConnection
from laplace_server.client.subscription_steps import Connect


class StreamConnection(BaseStreamConnection):
    """Connects to a numeric address and asks for the stream.

    Args:
        question: what to say first, and where.
        incoming: where messages are put.
        numbers: of those messages; each is greater than those before.
        keys: of the client and the server.

    Raises:
        ZMQError: the system has no descriptors left.
    """

    _connection: opening.Connection

    def __init__(
        self,
        question: Connect,
        incoming: Inbox,
        numbers: Iterator[int],
        keys: ClientKeys | None,
    ) -> None:
        connection = opening.connect(DEALER, question.endpoint, keys, incoming, numbers)
        self.collect = connection.collect
        self.watch = connection.watch
        self.bell = connection.bell
        super().__init__(connection, question)

    def close(self, last_word: bytes | None = None) -> None:
        """Close it, after a last word if there is one, which has a moment to leave."""
        if last_word is None:
            self._connection.close()
        else:
            self.send(last_word)
            self._connection.close(LINGER_S)
