"""Connections to one server for asyncio, each lent to one request at a time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from threading import Thread
from typing import Any

import zmq
import zmq.asyncio

from laplace_server import names
from laplace_server.connection_events import ConnectionEvents
from laplace_server.connections import NoAnswer, all_in_use, connect_request_socket
from laplace_server.errors import ClientClosed
from laplace_server.sockets import OfOneProcess

# Tasks start by the thousand; a connection each would take all of a process's descriptors.
MAX_CONNECTIONS = 16


class AsyncSocket(OfOneProcess, zmq.asyncio.Socket):
    """One for asyncio."""


class AsyncContext(zmq.asyncio.Context):
    """Makes such sockets."""

    _socket_class = AsyncSocket  # type: ignore[assignment]


class AsyncPool:
    """The connections of one client, in one event loop at a time."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._place = names.Place(address)
        self.context = AsyncContext()
        self.closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: deque[_Connection] = deque()
        self._lent: set[_Connection] = set()
        self._slots = _Slots(MAX_CONNECTIONS)
        # What requests wait for.
        self._awaited: set[asyncio.Future[Any]] = set()

    async def exchange(self, body: bytes, seconds: float) -> list[zmq.Frame]:
        """Send a request and return the frames of its reply.

        Raises:
            NoAnswer: none came within the time, in seconds.
            ClientClosed: the client was closed meanwhile.
        """
        deadline = time.monotonic() + seconds
        self._be_in_this_loop()
        slots = self._slots
        slot = slots.ask()
        try:
            at_once = slot.done()
            # What has no time left is not sent: nobody would hear of what it does.
            if not await self._wait(slot, deadline) or not (at_once or time.monotonic() < deadline):
                raise NoAnswer(all_in_use(MAX_CONNECTIONS))
            connection = self._idle.pop() if self._idle else await self._connect(deadline)
            return await self._answer(connection, body, deadline)
        except NoAnswer:
            self.drop_idle()  # as the sync pool does
            raise
        finally:
            slots.give_back(slot)

    # ---- the parts of an exchange

    async def _connect(self, deadline: float) -> _Connection:
        """Open a connection; wait for somebody to take it, so that it is known if nobody does."""
        place = self._place
        trouble = ""
        pause_s = names.FIRST_PAUSE_S
        while True:
            endpoint = place.endpoint
            if endpoint is None:
                searching = search(place)
                if not await self._wait(searching, deadline):
                    raise NoAnswer(trouble or place.pending)
                endpoint = place.take(searching.result())
                trouble = searching.result().problem or trouble
            if endpoint is not None:
                connection = _Connection(self.context, endpoint)
                self._lent.add(connection)
                made = False
                try:
                    until = min(deadline, time.monotonic() + place.patience_s)
                    made = await self._made(connection, until)
                    trouble = connection.trouble(trouble)
                finally:
                    if not made:
                        self._throw_away(connection)
                if made:
                    place.worked()
                    return connection
                if place.failed(endpoint) and time.monotonic() < deadline:
                    continue
            now = time.monotonic()
            if now >= deadline:
                raise NoAnswer(trouble)
            pause = asyncio.get_running_loop().create_future()  # closing ends it
            await self._wait(pause, min(deadline, now + pause_s))
            pause_s = min(names.LONGEST_PAUSE_S, 2 * pause_s)

    async def _made(self, connection: _Connection, until: float) -> bool:
        """Wait until somebody takes the connection; False where that takes longer."""
        while not connection.is_made():
            if self._place.is_name and connection.is_refused():
                return False
            if not await self._wait(connection.event, until):
                return False
        return True

    async def _answer(
        self, connection: _Connection, body: bytes, deadline: float
    ) -> list[zmq.Frame]:
        answered = False
        self._lent.add(connection)
        try:
            connection.send(body)
            while True:
                arriving = connection.receive()
                if not await self._wait(arriving, deadline):
                    raise NoAnswer(None)
                try:
                    frames: list[zmq.Frame] = arriving.result()
                except zmq.Again:
                    # An answer with another request's id, which is gone by now.
                    if time.monotonic() >= deadline:
                        raise NoAnswer(None) from None
                    continue
                answered = True
                return frames
        finally:
            # One whose answer did not come is thrown away: a late answer is nobody's.
            if answered and not self.closed:
                self._lent.discard(connection)
                self._idle.append(connection)
            else:
                self._throw_away(connection)

    async def _wait(self, future: asyncio.Future[Any], until: float) -> bool:
        """Wait for something; False where it takes longer.

        Raises:
            ClientClosed: the client is closed.
        """
        if not future.done():
            self._awaited.add(future)
            try:
                # Not wait_for: before Python 3.12 it may swallow a cancellation.
                await asyncio.wait({future}, timeout=max(0.0, until - time.monotonic()))
            finally:
                self._awaited.discard(future)
        if self.closed:
            raise ClientClosed(f"The client of {self._address} was closed during a request.")
        return future.done()

    # ---- connections

    def _be_in_this_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # sockets and futures belong to a loop
            self.drop_idle()
            self._loop = loop
            self._slots = _Slots(MAX_CONNECTIONS)

    def _throw_away(self, connection: _Connection) -> None:
        self._lent.discard(connection)
        connection.close()

    def drop_idle(self) -> None:
        """Close the connections that no request uses."""
        while self._idle:
            self._idle.pop().close()

    async def close(self) -> None:
        """Close all; requests under way raise ClientClosed."""
        if self.closed:
            return
        self.closed = True
        self.drop_idle()
        for connection in list(self._lent):
            self._throw_away(connection)
        for future in list(self._awaited):
            future.cancel()
        await terminate(self.context)

    def leave(self) -> None:
        """Let go of it in a forked child, where it is the parent's."""
        self.closed = True
        self.context.term()  # of another process: nothing but a note that it is closed


class _Connection:
    """A REQ socket, used by one request at a time."""

    def __init__(self, context: AsyncContext, endpoint: str) -> None:
        self._socket: Any = context.socket(zmq.REQ)
        self._events: ConnectionEvents | None = None
        try:
            self._events = ConnectionEvents(self._socket, AsyncSocket)
            connect_request_socket(self._socket, self._events, endpoint)
            self.event: asyncio.Future[list[bytes]] = self._events.monitor.recv_multipart()
        except BaseException:
            self.close()
            raise

    def is_made(self) -> bool:
        """Say whether somebody has taken the connection; if not, ask again after ``event``."""
        events = self._events
        while events is not None and not events.taken:
            if not self.event.done():
                return False
            events.note(self.event.result())
            self.event = events.monitor.recv_multipart()
        self._stop_listening()
        return True

    def is_refused(self) -> bool:
        """Say whether nobody took it at the first attempt, as far as ``is_made`` has seen."""
        return self._events is not None and self._events.refused

    def trouble(self, before: str) -> str:
        """Say why it was not made; ``before``: what it was at the attempt before this one."""
        return before if self._events is None else self._events.trouble(before)

    def send(self, body: bytes) -> None:
        """Send without waiting, also where the connection is broken: it will be made again."""
        self._socket.send(body, zmq.DONTWAIT).result()

    def receive(self) -> asyncio.Future[Any]:
        arriving: asyncio.Future[Any] = self._socket.recv_multipart(copy=False)
        return arriving

    def close(self) -> None:
        self._stop_listening()
        self._socket.close()

    def _stop_listening(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            events.close()


class _Slots:
    """So many at once; who waits for one gets it in order."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[asyncio.Future[None]] = deque()

    def ask(self) -> asyncio.Future[None]:
        """Return what is done when there is one for whoever asks."""
        slot = asyncio.get_running_loop().create_future()
        if self._free:
            self._free -= 1
            slot.set_result(None)
        else:
            self._waiting.append(slot)
        return slot

    def give_back(self, slot: asyncio.Future[None]) -> None:
        """Return one, or wait for it no more."""
        if not slot.done() or slot.cancelled():
            slot.cancel()
            with contextlib.suppress(ValueError):
                self._waiting.remove(slot)
            return
        while self._waiting:
            following = self._waiting.popleft()
            if not following.done():
                following.set_result(None)
                return
        self._free += 1


def search(place: names.Place) -> asyncio.Future[names.Found]:
    """Begin to look a server's place up."""
    loop = asyncio.get_running_loop()
    searching = loop.create_future()

    def take(found: names.Found) -> None:
        if not searching.done():
            searching.set_result(found)

    def tell(found: names.Found) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended before
            loop.call_soon_threadsafe(take, found)

    place.search(tell)
    return searching


async def terminate(context: zmq.asyncio.Context) -> None:
    """End a context whose sockets are closed, without holding up the loop meanwhile."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    def run() -> None:
        context.term()
        with contextlib.suppress(RuntimeError):  # the loop has ended before
            loop.call_soon_threadsafe(end)

    Thread(target=run, name="laplace-client-close", daemon=True).start()
    await ended
