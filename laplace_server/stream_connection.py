"""A connection for one subscription, which is never replaced by another unseen.

libzmq connects again by itself, and what was sent meanwhile goes to whoever is there then. Servers
before 1.0 die of what subscribers send, so here a broken connection stays broken: the pause before
the next attempt is longer than any of them lives, and libzmq's monitor tells that it has begun.
What arrived before can still be read.
"""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any

import zmq

from laplace_server.connection_events import ConnectionEvents

_NEVER_MS = 1_000_000_000  # 11 days; libzmq adds up to as much, and it is to fit into 31 bits
# Both ends notice a network that is gone.
_HEARTBEAT_MS, _HEARTBEAT_TIMEOUT_MS = 1000, 15000
_LINGER_MS = 100  # for the last word


def open_stream_socket(context: zmq.Context[Any], endpoint: str) -> tuple[Any, ConnectionEvents]:
    """Return a DEALER, connecting to a numeric address, and what becomes of the connection."""
    socket = context.socket(zmq.DEALER)
    try:
        socket.setsockopt(zmq.IPV6, "[" in endpoint)
        socket.setsockopt(zmq.RECONNECT_IVL, _NEVER_MS)
        # Credit bounds what is on the way, in both directions.
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TTL, _HEARTBEAT_TIMEOUT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS)
        # The monitor is of the same class as the socket, so that asyncio can wait for it.
        events = ConnectionEvents(socket, type(socket))
        events.listen()
        socket.connect(endpoint)
    except BaseException:
        socket.close(linger=0)
        raise
    return socket, events


def close_stream_socket(socket: Any, events: ConnectionEvents, *, linger: bool) -> None:
    """Close both; with ``linger``, what was sent has a moment to leave."""
    events.close()
    socket.close(linger=_LINGER_MS if linger else 0)


class Watched:
    """What is known of a subscription's connection, for threads and for asyncio."""

    _events: ConnectionEvents
    _told = False

    def _watch(self, endpoint: str, patience_s: float) -> None:
        self.endpoint = endpoint
        self.until = time.monotonic() + patience_s
        """When somebody must have taken it."""

    def _read_events(self) -> None:
        raise NotImplementedError

    def has_broken(self, now: float) -> bool:
        """Say, once, that it is broken, or that nobody has taken it in time.

        What arrived before can still be read.
        """
        if self._told:
            return False
        self._read_events()
        self._told = self._events.broken or (now >= self.until and not self._events.taken)
        if self._told or self._events.taken:
            self.until = math.inf
        return self._told

    def trouble(self, before: str) -> str | None:
        """Say why nobody took it, with what it was before; None where somebody did."""
        self._read_events()
        return None if self._events.taken else self._events.trouble(before)


class StreamConnection(Watched):
    """One for a thread."""

    def __init__(self, context: zmq.Context[Any], endpoint: str, patience_s: float) -> None:
        self._socket, self._events = open_stream_socket(context, endpoint)
        self._watch(endpoint, patience_s)
        self._timeout_ms = -1

    def send(self, body: bytes) -> None:
        """Send without waiting; there is always room."""
        self._socket.send_multipart([b"", body], zmq.DONTWAIT)

    def receive(self, seconds: float) -> list[zmq.Frame] | None:
        """Return the next message, waiting for it up to ``seconds``, or None."""
        # Neither a poller nor recv_multipart: each takes longer than all the rest of this.
        timeout_ms = math.ceil(seconds * 1000) if seconds > 0 else 0
        if timeout_ms != self._timeout_ms:
            self._socket.rcvtimeo = self._timeout_ms = timeout_ms
        receive = self._socket.recv
        try:
            frame = receive(copy=False)
        except zmq.Again:
            return None
        frames = [frame]
        while frame.more:  # a message arrives whole
            frame = receive(copy=False)
            frames.append(frame)
        return frames

    def _read_events(self) -> None:
        self._events.read()

    def close(self, last_word: bytes | None = None) -> None:
        """Close it, after a last word if there is one."""
        if last_word is not None:
            with contextlib.suppress(zmq.ZMQError):
                self.send(last_word)
        close_stream_socket(self._socket, self._events, linger=last_word is not None)
