"""Follow a server's stream with asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any

import zmq

from laplace_server import names, protocol
from laplace_server.async_connections import AsyncContext, search, terminate
from laplace_server.errors import ClientClosed, RequestTimeout
from laplace_server.followed import Followed
from laplace_server.follower import Follower, State, Update
from laplace_server.stream_connection import (
    Watched,
    close_stream_socket,
    open_stream_socket,
)

# While it begins, until it is noticed that the client has been closed.
_LONGEST_WAIT_S = 0.05

__all__ = ["AsyncSubscription"]


class AsyncSubscription(Followed):
    """An asynchronous iterator over a stream's updates; made by ``AsyncClientLHC.subscribe``.

    ``async with`` or ``await`` begins it. It then goes on by itself after a broken connection, and
    after a restart of the server. It ends when it is closed, and not before. One task takes
    updates; a cancelled one loses none.

    Beginning it may raise:
        RequestTimeout, RemoteError, InvalidReply: as a request.
        ClientClosed: it was closed already.
    """

    def __init__(
        self,
        address: str,
        name: str,
        stream: str,
        *,
        start: str | int,
        latest_only: bool,
        credit_bytes: int,
        timeout_s: float,
        check: Callable[[], None],
    ) -> None:
        self._connection: _AsyncStreamConnection | None = None
        self._context: AsyncContext | None = None
        self._closed = False
        self._receiving = False
        super().__init__(
            Follower(
                address,
                name,
                stream,
                start=start,
                latest_only=latest_only,
                credit_bytes=credit_bytes,
            )
        )
        self._timeout_s = timeout_s
        self._check: Callable[[], None] | None = check  # raises where not to begin
        self._searching: asyncio.Future[names.Found] | None = None
        self._bell = _Bell()

    # ---- beginning

    def __await__(self) -> Generator[Any, None, AsyncSubscription]:
        return self._begin().__await__()

    async def __aenter__(self) -> AsyncSubscription:
        return await self

    async def _begin(self) -> AsyncSubscription:
        follower = self._follower
        self._check_process()
        if follower.epoch and not self._closed:
            return self
        deadline = time.monotonic() + self._timeout_s
        try:
            with self._entered():
                while follower.state is not State.FOLLOWING:
                    await self._receive(deadline, self._check)
                self._check = None  # which keeps the client
        except BaseException as error:
            why = self._why_nobody(self._connection, self._searching is not None)
            await self.close()
            if type(error) is TimeoutError:
                raise RequestTimeout(
                    protocol.CMD_SUBSCRIBE, follower.address, self._timeout_s, why
                ) from None
            raise
        return self

    # ---- updates

    def __aiter__(self) -> AsyncSubscription:
        return self

    async def __anext__(self) -> Update:
        for update in self._follower.batch:
            return update
        try:
            return await self.next()
        except ClientClosed:
            self._check_process()
            raise StopAsyncIteration from None

    async def next(self, timeout: float | None = None) -> Update:
        """Return the next update, waiting for it up to ``timeout`` seconds; None: for ever.

        Raises:
            TimeoutError: none came in time.
            ClientClosed: the subscription is closed, before or meanwhile, or has not begun, or it
                was made before this process was forked.
            LaplaceError: the update holds arrays, and NumPy is not installed.
            RuntimeError: another task is waiting for one.
        """
        follower = self._follower
        for update in follower.batch:
            return update
        if not follower.epoch and not self._closed:
            raise ClientClosed(f"{self!r} has not begun: await it, or use `async with`.")
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._entered():
            # Other tasks have their turn, also where there is always something to read.
            await asyncio.sleep(0)
            while True:
                for update in follower.batch:
                    return update
                await self._receive(deadline)

    # ---- the end

    async def close(self) -> None:
        """End the subscription; again does nothing.

        A task that waits in ``next`` gets ClientClosed, one that iterates comes to the end.
        """
        self._closed = True
        self._follower.drop_batch()
        self._bell.ring()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(self._follower.leave())
        context, self._context = self._context, None
        if context is not None:
            await terminate(context)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        if self._context is not None and self._process == os.getpid():
            warnings.warn(f"{self!r} was not closed.", ResourceWarning, stacklevel=2, source=self)
            if self._connection is not None:
                self._connection.close(None)
            self._context.term()

    def __repr__(self) -> str:
        state = " closed" if self._closed else ""
        return f"<AsyncSubscription to {self.stream!r} of {self._follower.address}{state}>"

    # ---- inside

    @contextlib.contextmanager
    def _entered(self) -> Generator[None, None, None]:
        self._check_process()
        if self._closed:
            raise ClientClosed(f"{self!r} is closed.")
        if self._receiving:
            raise RuntimeError("Another task takes updates of this subscription.")
        self._receiving = True
        try:
            yield
        finally:
            self._receiving = False

    async def _receive(
        self, deadline: float | None, check: Callable[[], None] | None = None
    ) -> None:
        """Take a message, waiting for it; it may hold no updates."""
        follower = self._follower
        while not self._closed:
            if check is not None:
                check()
            now = time.monotonic()
            connection = self._connection
            if connection is None:
                searching = self._searching
                if searching is not None and searching.done():
                    self._searching = None
                    self._take_found(searching.result(), now)
            else:
                credit = follower.credit()
                if credit is not None:
                    connection.send(credit)
                frames = connection.receive()
                if frames is not None:
                    if follower.state is State.ASKING:
                        self._place.worked()
                    follower.take(frames, now)
                    return
                if connection.has_broken(now):
                    self._gone(connection, now)
            if follower.is_due(now) and self._searching is None:
                self._connect(now)
                continue
            if deadline is not None and now >= deadline:
                raise TimeoutError(f"no update of {self.stream!r} in time")
            until = follower.due_at if self._searching is None else math.inf
            if connection is not None:
                until = min(until, connection.until)
            if deadline is not None:
                until = min(until, deadline)
            if check is not None:
                until = min(until, now + _LONGEST_WAIT_S)
            await self._bell.wait(until - now)
        raise ClientClosed(f"{self!r} was closed.")

    def _connect(self, now: float) -> None:
        """Begin anew, with whoever is there now, as soon as it is known where."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._gone(connection, now)
            connection.close(None)
        endpoint = self._place.endpoint
        if endpoint is None:
            self._searching = search(self._place)
            self._searching.add_done_callback(self._bell.ring)
            return
        if self._context is None:
            self._context = AsyncContext()
        body = self._follower.ask(now)
        self._connection = _AsyncStreamConnection(
            self._context, endpoint, self._place.patience_s, self._bell
        )
        self._connection.send(body)

    def _after_fork(self) -> None:
        self._follower.drop_batch()
        self._connection = None
        context, self._context = self._context, None
        if context is not None:
            context.term()  # of another process: nothing but a note that it is closed


class _Bell:
    """What a task waits for; it refers to nobody, so a forgotten subscription can be collected."""

    def __init__(self) -> None:
        self._waiting: asyncio.Future[None] | None = None

    async def wait(self, seconds: float) -> None:
        """Wait until it rings."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting = loop.create_future()
        timer = loop.call_later(max(0.0, seconds), self.ring) if seconds < math.inf else None
        try:
            await waiting
        finally:
            if timer is not None:
                timer.cancel()
            self._waiting = None

    def ring(self, *_: object) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class _AsyncStreamConnection(Watched):
    """A ``StreamConnection`` for one task; ``bell`` rings when there may be something to read.

    What is being received stays so when the task that waits for it is cancelled.
    """

    def __init__(
        self, context: AsyncContext, endpoint: str, patience_s: float, bell: _Bell
    ) -> None:
        self._socket, self._events = open_stream_socket(context, endpoint)
        self._watch(endpoint, patience_s)
        self._bell = bell
        self._arriving: asyncio.Future[list[zmq.Frame]] | None = None
        self._event: asyncio.Future[list[bytes]]
        self._listen()

    def send(self, body: bytes) -> None:
        """Send without waiting; there is always room."""
        self._socket.send_multipart([b"", body], zmq.DONTWAIT).result()

    def receive(self) -> list[zmq.Frame] | None:
        """Return what has arrived, or None."""
        arriving, self._arriving = self._arriving, None
        if arriving is None:
            arriving = self._socket.recv_multipart(copy=False)
            if not arriving.done():
                arriving.add_done_callback(self._bell.ring)
        if arriving.done():
            return arriving.result()
        self._arriving = arriving
        return None

    def _listen(self) -> None:
        self._event = self._events.monitor.recv_multipart()
        self._event.add_done_callback(self._bell.ring)

    def _read_events(self) -> None:
        while self._event.done() and not self._event.cancelled():
            self._events.note(self._event.result())
            self._listen()

    def close(self, last_word: bytes | None) -> None:
        """Close it, after a last word if there is one."""
        if last_word is not None:
            with contextlib.suppress(zmq.ZMQError):
                self.send(last_word)
        close_stream_socket(self._socket, self._events, linger=last_word is not None)
