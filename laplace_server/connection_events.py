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
_EVENTS = _BROKEN | zmq.EVENT_CONNECTED


class ConnectionEvents:
    """Of one socket that connects to one address.

    ``listen`` before it connects. libzmq waits where nobody reads what a monitor tells, so ``read``
    it now and then, or ``close``.
    """

    def __init__(self, socket: Any, monitor_class: Any = Socket) -> None:
        self._socket = socket
        self._monitor_class = monitor_class
        self.monitor: Any = None
        self.broken = False
        """The connection is no more, or was refused."""
        self.taken = False
        """Somebody took it."""
        self.refused = False
        """Nobody took it at the first attempt; there may be more."""

    def listen(self) -> None:
        """Begin. Whoever calls has this object already, and closes it if anything is raised."""
        endpoint = f"inproc://events-{next(_numbers)}"
        self._socket.monitor(endpoint, _EVENTS)
        self.monitor = self._socket.context.socket(zmq.PAIR, socket_class=self._monitor_class)
        self.monitor.connect(endpoint)

    def read(self) -> None:
        """Take what has been told, of a monitor that is a plain socket."""
        with contextlib.suppress(zmq.Again):
            while True:
                self.note(self.monitor.recv_multipart(zmq.DONTWAIT))

    def note(self, frames: Sequence[bytes]) -> None:
        """Take one message of the monitor."""
        event = int.from_bytes(frames[0][:2], sys.byteorder)
        self.taken = self.taken or event == zmq.EVENT_CONNECTED
        self.refused = self.refused or (event == zmq.EVENT_CONNECT_RETRIED and not self.taken)
        self.broken = self.broken or bool(event & _BROKEN)

    def trouble(self, before: str) -> str:
        """Say why nobody took it; ``before``: what it was at the attempt before this one."""
        return names.NOBODY if self.refused else before or names.NO_CONNECTION

    def close(self) -> None:
        """End; before the socket itself is closed."""
        # In this order: libzmq may wait for ever to tell a monitor that is gone.
        with contextlib.suppress(zmq.ZMQError):  # the context may have ended
            self._socket.disable_monitor()
        if self.monitor is not None:
            self.monitor.close(linger=0)
