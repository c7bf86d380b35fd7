"""A connection over asyncio's transport, for loops that watch no descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from typing import Any, cast

from laplace_server.client import _frames
from laplace_server.client.asyncio.bell import Bell
from laplace_server.client.asyncio.inbox import MOST_MESSAGES, Inbox, running_loop

# As the connections of `_frames` have them: both ends notice a network that is gone.
_OPTIONS = (
    ("SO_KEEPALIVE", socket.SOL_SOCKET, 1),
    ("TCP_KEEPIDLE", socket.IPPROTO_TCP, 30),
    ("TCP_KEEPINTVL", socket.IPPROTO_TCP, 10),
    ("TCP_KEEPCNT", socket.IPPROTO_TCP, 3),
    ("TCP_USER_TIMEOUT", socket.IPPROTO_TCP, 60_000),
)


class TransportConnection(_frames.Conversation, asyncio.BufferedProtocol):
    """As ``WatchedConnection``, in the loop that it was made in: in another it is broken.

    An exception out of a signal handler that ends what happens here leaves it broken, if not in
    order. Within the loop's own code it may lose what has come.

    Raises:
        OSError: the system has no descriptors left.
    """

    def __init__(
        self,
        socket_type: int,
        host: str,
        port: int,
        keys: _frames.ClientKeys | None,
        inbox: Inbox,
        numbers: Iterator[int],
    ) -> None:
        super().__init__(socket_type, keys)
        family, self._at = _place(host, port)
        self._socket = _socket(family)
        self.bell = Bell()
        self.inbox = inbox
        self.idle_since = 0.0
        self.connected = False
        self._numbers = numbers
        self._outbox: list[bytes] = []  # until the handshake is over
        self._written = self._message_end = (
            0  # bytes given to the transport, and up to the last message
        )
        self._lost = self._ended = False
        self._reading = self._writing = False  # where an exception has ended that, for ever
        self._is_full = False  # the transport: the peer does not read
        self._trouble = ""
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        # Not before somebody waits for it, and so knows it.
        self._opening: asyncio.Task[Any] | None = None
        self.on_change = self._changed

    # ---- what becomes of it

    @property
    def broken(self) -> bool:
        return self._lost or self._writing or self._loop is not running_loop()

    @property
    def refused(self) -> bool:
        return self._lost and not self.connected

    @property
    def trouble(self) -> str:
        return self._trouble if self.broken else ""

    @property
    def unsent(self) -> int:
        """Bytes of messages that have not left; answers to PING do not count."""
        waiting = sum(map(len, self._outbox))
        if self._transport is not None:
            sent = self._written - self._transport.get_write_buffer_size()
            waiting += max(0, self._message_end - sent)
        return waiting

    # ---- messages

    def send(self, frames: Sequence[bytes]) -> bool:
        if self.broken:
            return False
        self._outbox.append(self.encoded(frames))
        self._write(b"")
        return True

    def collect(self) -> bool:
        self.inbox.extend(zip(self._numbers, iter(self.take, None), strict=False))
        return bool(self.inbox)

    def watch(self) -> None:
        if self._opening is None and not self._ended:
            self._opening = self._loop.create_task(self._open())
            self._opening.add_done_callback(self._opened)
        if self._transport is not None and not self.broken:
            self._transport.resume_reading()

    def close(self, linger_s: float = 0.0) -> None:
        """Let go of it; what was sent has so long to leave, but nobody waits for that."""
        self._ended = True
        loop = self._loop
        if loop is running_loop() or not loop.is_running():
            self._end(linger_s)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended before
                loop.call_soon_threadsafe(self._end, linger_s)

    # ---- in the loop

    def _end(self, linger_s: float = 0.0) -> None:
        self.on_change = None
        transport = self._transport
        if self._loop.is_closed():
            # It does not end the transports that it leaves, and they cannot without it.
            end = getattr(transport, "_call_connection_lost", None)
            if end is not None:
                end(None)
            self._close_socket()
            return
        if transport is None:
            if self._opening is None:
                self._close_socket()
            else:
                self._opening.cancel()
        elif linger_s and transport.get_write_buffer_size():
            transport.close()
            self._loop.call_later(linger_s, transport.abort)
        else:
            transport.abort()

    def _write(self, data: bytes) -> None:
        """Write it, and the messages for which it is time."""
        transport = self._transport
        if transport is not None:
            self._writing = True
            transport.write(data)
            self._written += len(data)
            while self._outbox and self.ready:
                message = self.sealed(self._outbox.pop(0))
                transport.write(message)
                self._written += len(message)
                self._message_end = self._written
            self._writing = False

    async def _open(self) -> None:
        await self._loop.sock_connect(self._socket, self._at)
        # Where nobody listens, a system may connect a port to itself.
        if self._socket.getsockname() == self._socket.getpeername():
            raise ConnectionRefusedError(errno.ECONNREFUSED, "connection refused")
        await self._loop.create_connection(lambda: self, sock=self._socket)

    def _opened(self, opening: asyncio.Task[None]) -> None:
        error = None if opening.cancelled() else opening.exception()
        if opening.cancelled() or error is not None:
            self._lose(error)
            self._close_socket()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)
        if self._ended:
            transport.abort()
            return
        self.connected = True
        self._write(self.opening())
        self.bell.ring()

    def get_buffer(self, sizehint: int = -1) -> memoryview:
        if self._reading:
            raise ConnectionAbortedError("what had come was lost by an interrupt")
        self._reading = True
        return super().get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        self._reading = False

    def _changed(self) -> None:
        """Something has come that matters."""
        # Of a peer that asks and does not read, no more answers are kept.
        self._write(b"" if self._is_full else self.to_send())
        self.collect()
        transport = self._transport
        if transport is not None:
            if self.fault:
                self._lose(None)
                transport.abort()
            elif len(self.inbox) >= MOST_MESSAGES:  # until somebody waits
                transport.pause_reading()
        self.bell.ring()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._write(self.to_send())

    def connection_lost(self, error: Exception | None) -> None:
        self._lose(error)
        self._transport = None
        self._close_socket()

    def _close_socket(self) -> None:
        # As a transport does next, but where the peer has reset the connection it fails to.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _lose(self, error: BaseException | None) -> None:
        if not self._lost:
            self._trouble = self.fault or self._end_text(error)
            self._lost = True
        self.bell.ring()

    def _end_text(self, error: BaseException | None) -> str:
        """Why it has ended, as ``_frames.Connection`` says it."""
        in_handshake = self.connected and not self.ready
        why = (isinstance(error, OSError) and error.strerror) or (error and str(error))
        if in_handshake and (not why or (isinstance(error, ConnectionError) and error.errno)):
            return self.closed_early
        return (why or "closed by the other side") + (" in the handshake" if in_handshake else "")


def _place(host: str, port: int) -> tuple[int, tuple[Any, ...]]:
    """Return the family and the address of a socket for a numeric host."""
    if ":" not in host:
        return socket.AF_INET, (host, port)
    host, _, scope = host.partition("%")
    index = int(scope or 0) if not scope or scope.isdigit() else socket.if_nametoindex(scope)
    return socket.AF_INET6, (host, port, 0, index)


def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    for name, level, value in _OPTIONS:
        if hasattr(socket, name):
            with contextlib.suppress(OSError):
                made.setsockopt(level, getattr(socket, name), value)
    return made
