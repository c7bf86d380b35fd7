"""ZeroMQ sockets that a forked child leaves alone.

Closing one there, also by its collection, would act on what the child shares with its parent: the
event loop's list of what it watches, and the queues to libzmq's threads.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import zmq


class OfOneProcess:
    """To be mixed into a class of pyzmq's sockets: its end does nothing in a forked child."""

    _made_in = 0

    def __init__(self, context: Any = None, socket_type: int = -1, **options: Any) -> None:
        self._made_in = os.getpid()  # first: an interrupt may come right after the rest
        super().__init__(context, socket_type, **options)  # type: ignore[call-arg]

    def disable_monitor(self) -> None:
        if self._made_in == os.getpid():
            super().disable_monitor()  # type: ignore[misc]

    def close(self, linger: int | None = None) -> None:
        if self._made_in != os.getpid():
            return
        if not self.closed:  # type: ignore[attr-defined]
            # libzmq may wait for ever to tell a monitor that is gone, and the one who has it may
            # have been interrupted before it knew of it.
            with contextlib.suppress(zmq.ZMQError):  # the context may have ended
                super().disable_monitor()  # type: ignore[misc]
        super().close(linger)  # type: ignore[misc]

    def __del__(self) -> None:
        # Here without a warning: it was an interrupt, if anything, that kept it from being closed.
        self.close(linger=0)


class Socket(OfOneProcess, zmq.Socket[bytes]):
    """One for threads."""


class Context(zmq.Context[Socket]):
    """Makes such sockets."""

    _socket_class = Socket
