"""The connection to NATS that all sources of a relay share."""

from __future__ import annotations

import asyncio

from laplace_server.relay.connection import NatsConnection, connect
from laplace_server.relay.way import Way


class Broker:
    """Connects when somebody wants to, and again after a break. For one event loop."""

    def __init__(self, way: Way, name: str) -> None:
        self._way = way.in_any_order()
        self._name = name
        self._connection: NatsConnection | None = None
        self._connecting: asyncio.Task[NatsConnection] | None = None

    @property
    def is_connected(self) -> bool:
        return self._connection is not None and not self._connection.closed.is_set()

    async def connection(self) -> NatsConnection:
        """Return the connection there is, or a new one; whoever comes meanwhile shares the attempt.

        Raises:
            EngineError: there is no way to NATS at the moment.
        """
        connection = self._connection
        if connection is not None and not connection.closed.is_set():
            return connection
        attempt = self._connecting
        if attempt is None:
            attempt = self._connecting = asyncio.create_task(self._connect())
        return await asyncio.shield(attempt)

    async def _connect(self) -> NatsConnection:
        try:
            self._connection = await connect(self._way, self._name)
            return self._connection
        finally:
            self._connecting = None

    async def leave(self, connection: NatsConnection) -> None:
        """Have done with a server that is of no use now: the next connection is to another one."""
        if len(self._way.urls) > 1 and connection is self._connection:
            self._way = self._way.after(connection.url)
            self._connection = None
            await connection.close()

    async def close(self) -> None:
        """Close it."""
        attempt = self._connecting
        if attempt is not None:
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()
