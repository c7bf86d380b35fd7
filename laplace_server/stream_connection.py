"""A connection for one subscription, which is never replaced by another unseen.

libzmq connects again by itself, and what was sent meanwhile goes to whoever is there then. Servers
before 1.0 die of what subscribers send, so here a broken connection stays broken: the pause before
the next attempt is longer than any of them lives, and libzmq's monitor tells that it has begun.
What arrived before can still be read.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

import zmq

_NEVER_MS = 1_000_000_000  # 11 days; libzmq adds up to as much, and it is to fit into 31 bits
_BROKEN = zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECT_RETRIED
# Both ends notice a network that is gone.
_HEARTBEAT_MS, _HEARTBEAT_TIMEOUT_MS = 1000, 15000
_LINGER_MS = 100  # for the last word


def open_stream_socket(context: zmq.Context[Any], address: str) -> tuple[Any, Any]:
    """Return a DEALER, connecting, and a socket readable when that connection is no more."""
    socket = context.socket(zmq.DEALER)
    try:
        socket.setsockopt(zmq.IPV6, "[" in address)
        socket.setsockopt(zmq.RECONNECT_IVL, _NEVER_MS)
        # Credit bounds what is on the way, in both directions.
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TTL, _HEARTBEAT_TIMEOUT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS)
        monitor = socket.get_monitor_socket(_BROKEN)
        socket.connect(address)
    except BaseException:
        socket.close(linger=0)
        raise
    return socket, monitor


def close_stream_socket(socket: Any, monitor: Any, *, linger: bool) -> None:
    """Close both; with ``linger``, what was sent has a moment to leave."""
    # In this order: libzmq may wait for ever to tell a monitor that is gone.
    socket.disable_monitor()
    monitor.close(linger=0)
    socket.close(linger=_LINGER_MS if linger else 0)


class StreamConnection:
    """One for a thread; ``wake``, if readable, ends a wait."""

    def __init__(self, context: zmq.Context[Any], address: str, wake: zmq.Socket[bytes]) -> None:
        self._socket, self._monitor = open_stream_socket(context, address)
        self._broken = False
        self._poller = zmq.Poller()
        for each in (self._socket, self._monitor, wake):
            self._poller.register(each, zmq.POLLIN)

    def send(self, body: bytes) -> None:
        """Send without waiting; there is always room."""
        self._socket.send_multipart([b"", body], zmq.DONTWAIT)

    def receive(self) -> list[zmq.Frame] | None:
        """Return what has arrived, or None."""
        # recv_multipart would ask for an option after each frame, which takes longer than the rest.
        try:
            frame = self._socket.recv(zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return None
        frames = [frame]
        while frame.more:  # a message arrives whole
            frame = self._socket.recv(copy=False)
            frames.append(frame)
        return frames

    def has_broken(self) -> bool:
        """Say, once, that a wait has ended because it is broken."""
        broken, self._broken = self._broken, False
        return broken

    def wait(self, seconds: float) -> None:
        """Wait for something to read, to be broken, or to be woken."""
        ready = self._poller.poll(math.ceil(max(0.0, seconds) * 1000))
        if any(socket is self._monitor for socket, _ in ready):
            self._poller.unregister(self._monitor)
            self._broken = True

    def close(self, last_word: bytes | None = None) -> None:
        """Close it, after a last word if there is one."""
        if last_word is not None:
            with contextlib.suppress(zmq.ZMQError):
                self.send(last_word)
        close_stream_socket(self._socket, self._monitor, linger=last_word is not None)
