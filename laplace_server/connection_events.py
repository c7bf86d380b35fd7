"""What becomes of a connection, as libzmq's monitor tells it."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import zmq

from laplace_server import names
from laplace_server.sockets import Socket

_numbers = itertools.count()  # an endpoint is free again only some time after its end

_BROKEN = zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECT_RETRIED
_EVENTS = _BROKEN | zmq.EVENT_CONNECTED | zmq.EVENT_CLOSED


class ConnectionEvents:
    """Of one socket that connects to one address.

    libzmq waits where nobody reads what a monitor tells, so ``read`` it now and then, or ``close``.
    """

    def __init__(self, socket: Any, monitor_class: Any = Socket) -> None:
        self._socket = socket
        endpoint = f"inproc://events-{next(_numbers)}"
        socket.monitor(endpoint, _EVENTS)
        self.monitor = socket.context.socket(zmq.PAIR, socket_class=monitor_class)
        self.monitor.connect(endpoint)
        self.broken = False
        """The connection is no more, or was refused."""
        self._taken = False
        self._refused = False

    def read(self) -> None:
        """Take what has been told, of a monitor that is a plain socket."""
        with contextlib.suppress(zmq.Again):
            while True:
                self.note(self.monitor.recv_multipart(zmq.DONTWAIT))

    def note(self, frames: Sequence[bytes]) -> None:
        """Take one message of the monitor."""
        event = int.from_bytes(frames[0][:2], sys.byteorder)
        self._taken = self._taken or event == zmq.EVENT_CONNECTED
        # Of a connection that was not made, not of one that has ended.
        self._refused = self._refused or event == zmq.EVENT_CLOSED
        self.broken = self.broken or bool(event & _BROKEN)

    def trouble(self, before: str | None = None) -> str | None:
        """Say why nothing can be sent; None where somebody took the connection.

        ``before``: what it was at the attempt before this one.
        """
        if self._taken:
            return None
        return names.NOBODY if self._refused else before or names.NO_CONNECTION

    def close(self) -> None:
        """End; before the socket itself is closed."""
        # In this order: libzmq may wait for ever to tell a monitor that is gone.
        with contextlib.suppress(zmq.ZMQError):  # the context may have ended
            self._socket.disable_monitor()
        self.monitor.close(linger=0)
