"""Connections to one server for asyncio, each lent to one request at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from laplace_server.client import names
from laplace_server.client._frames import REQ, ClientKeys
from laplace_server.client.asyncio.bell import Alarm, Bell
from laplace_server.client.asyncio.opening import Connection, connect
from laplace_server.client.asyncio.permits import Permits
from laplace_server.client.no_answer import ConnectionBroke, NoAnswer, all_in_use, trouble_of
from laplace_server.client.requests import request_numbers
from laplace_server.errors import ClientClosed
from laplace_server.wire.limits import may_end_connection

# Tasks start by the thousand; a connection each would take all of a process's descriptors.
MAX_CONNECTIONS = 16

_REST_S = 0.001  # after which an idle connection is looked at


class AsyncPool:
    """The connections of one client, in one event loop at a time."""

    def __init__(self, address: str, keys: ClientKeys | None = None) -> None:
        self._address = address
        self._keys = keys
        self._place = names.Place(address)
        self.closed = False
        self.opened = 0
        """How many have come about: whoever asks one thing at a time sees them break."""
        self._loop: asyncio.AbstractEventLoop | None = None
        # One may be in both for a moment that an exception has cut short; then it is of use still.
        self._idle: deque[Connection] = deque()
        self._lent: set[Connection] = set()
        self._permits = Permits(MAX_CONNECTIONS)
        self._alarm = Alarm()
        self._numbers = request_numbers()

    async def exchange(
        self, body: bytes, seconds: float, until_broken: bool = False
    ) -> list[bytes]:
        """Send a request and return the frames of its reply.

        Raises:
            NoAnswer: none came within the time, in seconds.
            ConnectionBroke: none will come; only with ``until_broken``, else its time passes.
            ClientClosed: the client was closed meanwhile.
            ZMQError: the system has no descriptors left.
        """
        deadline = time.monotonic() + seconds
        self._be_in_this_loop()
        permits = self._permits
        permit = permits.ask()
        connection = None
        keep = False
        try:
            if not permit.is_given:
                while await self._pause(permit.bell, deadline) and not permit.is_given:
                    pass
                # What has no time left is not sent: nobody would hear of what it does.
                if time.monotonic() >= deadline:
                    raise NoAnswer(all_in_use(MAX_CONNECTIONS))
            number = next(self._numbers)
            message = number, b"", body
            connection = self._send_by_idle(message)
            if connection is None:
                connection = await self._connect(deadline)
                # Not sent again where it breaks: from here on the server may have it.
                connection.send(message)
            while True:
                in_time = await self._news(connection, deadline)
                reply = _reply_to(number, connection)
                if reply is not None:
                    # What a server says to a request that it does not take, it says before it
                    # closes the connection.
                    ends = len(reply) == 1 and may_end_connection(reply[0])
                    keep = not (ends or connection.unsent)
                    return reply
                if not in_time:
                    raise NoAnswer(None)
                if connection.broken:
                    if until_broken:
                        raise ConnectionBroke
                    # Whether the request has run nobody knows, and so nobody may hurry to send it
                    # again: its time passes.
                    connection.close()
        except (NoAnswer, ConnectionBroke):
            self.drop_idle()  # as the sync pool does
            raise
        finally:
            # One whose answer did not come is thrown away: a late answer is nobody's.
            if connection is not None:
                self._give_back(connection, keep)
            permits.end(permit)

    # ---- the parts of an exchange

    def _send_by_idle(self, message: tuple[bytes, bytes, bytes]) -> Connection | None:
        """Send by an idle connection that is still one; None: there is none."""
        while self._idle:
            connection = self._idle[-1]
            self._lent.add(connection)
            self._idle.pop()
            if time.monotonic() - connection.idle_since > _REST_S:
                connection.collect()
            # What says something unasked has broken, or is not to be trusted.
            if not (connection.inbox or connection.broken) and connection.send(message):
                return connection
            self._throw_away(connection)
        return None

    async def _connect(self, deadline: float) -> Connection:
        """Wait for the end of a handshake: what breaks before that has not had the request."""
        place = self._place
        trouble = ""
        pause_s = names.FIRST_PAUSE_S
        while True:
            endpoint = place.endpoint
            if endpoint is None:
                found = await self._search(deadline)
                if found is None:
                    raise NoAnswer(trouble or place.pending)
                trouble = found.problem or trouble
                endpoint = place.take(found)
            if endpoint is not None:
                connection = connect(REQ, endpoint, self._keys)
                begun = time.monotonic()
                ready = False
                try:
                    self._lent.add(connection)
                    ready = await self._ready(connection, deadline)
                    seconds = time.monotonic() - begun
                    trouble = place.telling(trouble_of(connection, trouble, seconds))
                finally:
                    if not ready:
                        self._throw_away(connection)
                if ready:
                    place.worked()
                    self.opened += 1
                    return connection
                if place.failed(endpoint) and time.monotonic() < deadline:
                    continue
            pause_until = min(deadline, time.monotonic() + pause_s)
            while await self._pause(Bell(), pause_until):
                pass
            if time.monotonic() >= deadline:
                raise NoAnswer(trouble)
            if place.is_name:
                pause_s = min(names.LONGEST_PAUSE_S, 2 * pause_s)

    async def _search(self, deadline: float) -> names.Found | None:
        """Look the server's name up; None where that takes longer."""
        loop, bell, found = asyncio.get_running_loop(), Bell(), list[names.Found]()

        def tell(each: names.Found) -> None:
            found.append(each)
            bell.ring_from_thread(loop)

        self._place.search(tell)
        while not found and await self._pause(bell, deadline):
            pass
        return found[0] if found else None

    async def _ready(self, connection: Connection, deadline: float) -> bool:
        """Wait for the end of the handshake; False where none comes about."""
        patience_until = min(deadline, time.monotonic() + self._place.patience_s)
        while True:
            connection.collect()
            if connection.ready or connection.broken:
                return connection.ready
            # Who takes a connection is waited for; who does not may be at another address.
            until = deadline if connection.connected else patience_until
            if not await self._news(connection, until):
                return False

    async def _news(self, connection: Connection, until: float) -> bool:
        """Wait for news of a connection; False where it takes longer.

        Raises:
            ClientClosed: the client is closed.
        """
        now = time.monotonic()
        if connection.inbox:
            await asyncio.sleep(0)
        elif now < until:
            connection.watch()
            await self._alarm.wait(connection.bell, until, now)
        self._check_open()
        return now < until

    async def _pause(self, bell: Bell, until: float) -> bool:
        """Wait for a bell; False where it takes longer.

        Raises:
            ClientClosed: the client is closed.
        """
        now = time.monotonic()
        if now < until:
            await self._alarm.wait(bell, until, now)
        self._check_open()
        return now < until

    def _check_open(self) -> None:
        if self.closed:
            raise ClientClosed(f"The client of {self._address} was closed during a request.")

    # ---- connections

    def _be_in_this_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # who waits for a permit does so in one loop
            self.drop_idle()
            self._permits, self._alarm = Permits(MAX_CONNECTIONS), Alarm()
            self._loop = loop

    def _give_back(self, connection: Connection, keep: bool) -> None:
        if not keep or self.closed:
            self._throw_away(connection)
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        self._lent.discard(connection)

    def _throw_away(self, connection: Connection) -> None:
        connection.close()
        self._lent.discard(connection)
        connection.bell.ring()

    def drop_idle(self) -> None:
        """Close the connections that no request uses."""
        while self._idle:
            self._throw_away(self._idle.pop())

    def close(self) -> None:
        """Close all; requests under way raise ClientClosed, and there are no new ones."""
        self.closed = True
        self.drop_idle()
        for connection in list(self._lent):
            self._throw_away(connection)
        self._alarm.ring_all()

    def leave(self) -> None:
        """Let go of it in a forked child, where it is the parent's."""
        self.closed = True
        for connection in (*self._idle, *self._lent):
            connection.close()


def _reply_to(number: bytes, connection: Connection) -> list[bytes] | None:
    """Return the frames of the reply to a request, if it has come."""
    inbox = connection.inbox
    if inbox or connection.collect():
        while inbox:
            _, message = inbox.popleft()
            if len(message) > 2 and message[0] == number and not message[1]:
                frames: list[bytes] = message[2:]
                return frames
        # What has been received already rings no more.
        connection.collect()
    return None
