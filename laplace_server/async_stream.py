"""Follow a server's stream with asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings
from collections.abc import Generator
from threading import Thread
from types import TracebackType
from typing import Any

import zmq
import zmq.asyncio

from laplace_server import protocol
from laplace_server.errors import ClientClosed, RequestTimeout
from laplace_server.followed import Followed
from laplace_server.follower import Follower, State, Update
from laplace_server.stream_connection import close_stream_socket, open_stream_socket

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
    ) -> None:
        self._connection: _AsyncStreamConnection | None = None
        self._context: zmq.asyncio.Context | None = None
        self._closed = False
        self._receiving = False
        self._follower = Follower(
            address,
            name,
            stream,
            start=start,
            latest_only=latest_only,
            credit_bytes=credit_bytes,
        )
        self._timeout_s = timeout_s

    # ---- beginning

    def __await__(self) -> Generator[Any, None, AsyncSubscription]:
        return self._begin().__await__()

    async def __aenter__(self) -> AsyncSubscription:
        return await self

    async def _begin(self) -> AsyncSubscription:
        follower = self._follower
        if follower.epoch and not self._closed:
            return self
        deadline = time.monotonic() + self._timeout_s
        try:
            with self._entered():
                while follower.state is not State.FOLLOWING:
                    await self._receive(deadline)
        except BaseException as error:
            await self.close()
            if type(error) is TimeoutError:
                raise RequestTimeout(
                    protocol.CMD_SUBSCRIBE, follower.address, self._timeout_s
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
            raise StopAsyncIteration from None

    async def next(self, timeout: float | None = None) -> Update:
        """Return the next update, waiting for it up to ``timeout`` seconds; None: for ever.

        Raises:
            TimeoutError: none came in time.
            ClientClosed: the subscription is closed, before or meanwhile, or has not begun.
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
        if self._context is not None:
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
        if self._closed:
            raise ClientClosed(f"{self!r} is closed.")
        if self._receiving:
            raise RuntimeError("Another task takes updates of this subscription.")
        self._receiving = True
        try:
            yield
        finally:
            self._receiving = False

    async def _receive(self, deadline: float | None) -> None:
        """Take a message, waiting for it; it may hold no updates."""
        follower = self._follower
        while not self._closed:
            now = time.monotonic()
            connection = self._connection or self._connect(now)
            credit = follower.credit()
            if credit is not None:
                connection.send(credit)
            frames = connection.receive()
            if frames is not None:
                follower.take(frames, now)
                return
            if connection.has_broken():
                follower.gone(now)
            if follower.is_due(now):
                self._connect(now)
                continue
            if deadline is not None and now >= deadline:
                raise TimeoutError(f"no update of {self.stream!r} in time")
            until = follower.due_at if deadline is None else min(follower.due_at, deadline)
            await connection.wait(until - now)
        raise ClientClosed(f"{self!r} was closed.")

    def _connect(self, now: float) -> _AsyncStreamConnection:
        """Begin anew, with whoever is there now."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(None)
        if self._context is None:
            self._context = zmq.asyncio.Context()
        body = self._follower.ask(now)
        self._connection = _AsyncStreamConnection(self._context, self._follower.address)
        self._connection.send(body)
        return self._connection


class _AsyncStreamConnection:
    """A ``StreamConnection`` for one task.

    What is being received stays so when the task that waits for it is cancelled.
    """

    def __init__(self, context: zmq.asyncio.Context, address: str) -> None:
        self._socket, self._monitor = open_stream_socket(context, address)
        self._waiting: asyncio.Future[None] | None = None
        self._arriving: asyncio.Future[list[zmq.Frame]] | None = None
        self._breaking: asyncio.Future[Any] = self._monitor.recv_multipart()
        self._breaking.add_done_callback(self._wake)
        self._told = False

    def send(self, body: bytes) -> None:
        """Send without waiting; there is always room."""
        self._socket.send_multipart([b"", body], zmq.DONTWAIT).result()

    def receive(self) -> list[zmq.Frame] | None:
        """Return what has arrived, or None."""
        arriving, self._arriving = self._arriving, None
        if arriving is None:
            arriving = self._socket.recv_multipart(copy=False)
            if not arriving.done():
                arriving.add_done_callback(self._wake)
        if arriving.done():
            return arriving.result()
        self._arriving = arriving
        return None

    def has_broken(self) -> bool:
        """Say, once, that it is broken."""
        if self._told or not self._breaking.done():
            return False
        self._told = True
        return True

    async def wait(self, seconds: float) -> None:
        """Wait for something to read, to be broken, or to be closed."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting = loop.create_future()
        timer = loop.call_later(max(0.0, seconds), self._wake)
        try:
            await waiting
        finally:
            timer.cancel()
            self._waiting = None

    def _wake(self, *_: object) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self, last_word: bytes | None) -> None:
        """Close it, after a last word if there is one; a task that waits is woken."""
        self._wake()
        if last_word is not None:
            with contextlib.suppress(zmq.ZMQError):
                self.send(last_word)
        close_stream_socket(self._socket, self._monitor, linger=last_word is not None)


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
