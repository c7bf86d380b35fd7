"""Servers for a block, and what tests do beside them."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import zmq
from support.peers import PATIENCE_S, address_of, ask

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.server.binding import LIMITS

MakeServer = Callable[..., ServerLHC]


def make(address: str = "tcp://127.0.0.1:*", **arguments: Any) -> ServerLHC:
    """A server that whoever calls starts and stops."""
    return ServerLHC("device", address, 1, "MOTOR", **arguments)


@contextlib.contextmanager
def serving(
    address: str = "tcp://127.0.0.1:*", kind: type[ServerLHC] = ServerLHC, **arguments: Any
) -> Iterator[ServerLHC]:
    """A started server, stopped and gone at the end.

    Reads of live data wait for a refresh, also on a machine that stands still for a moment.
    """
    given = {"name": "device", "freedom": 1, "device": "MOTOR", "data": {}}
    server = kind(address=address, **{**given, "refresh_timeout_ms": 5000, **arguments})
    server.start()
    try:
        yield server
    finally:
        server.stop()
        server.join(PATIENCE_S)
        assert not server.is_alive(), "the server's thread has not ended"


def client_of(server: ServerLHC) -> ClientLHC:
    return ClientLHC(address_of(server), timeout_s=PATIENCE_S)


def all_begun(server: ServerLHC) -> None:
    """Wait until all threads of a started server have begun.

    Python answers an unknown command, in a thread that has started the last of the others. A server
    that lives longer than a test needs this: what begins during the test counts as left behind.
    """
    assert ask(server, "NO SUCH COMMAND")["error_msg"] == "Unknown command"


def limited(**limits: int) -> type[ServerLHC]:
    """A kind of server with other limits than the default."""

    class Limited(ServerLHC):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            with mock.patch.dict(LIMITS, limits):
                super().__init__(*arguments, **named)

    return Limited


def bind(socket: zmq.Socket[bytes], address: str) -> None:
    """Bind to an address that has just been given back.

    Windows may need a moment more, until the connections to it have ended on both sides.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.bind(address)
            return
        except zmq.ZMQError as problem:
            late = time.monotonic() > deadline
            if sys.platform != "win32" or problem.errno != zmq.EADDRINUSE or late:
                raise
        time.sleep(0.02)


class Gate:
    """A callback that blocks until it is let through, and says when it has begun."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.begun = threading.Semaphore(0)
        self._open = threading.Semaphore(0)
        self._wide_open = False

    def __call__(self, *arguments: Any) -> None:
        self.calls.append(arguments[0] if len(arguments) == 1 else arguments)
        self.begun.release()
        if not self._wide_open:
            assert self._open.acquire(timeout=PATIENCE_S), "the gate was never opened"

    def wait_begun(self) -> None:
        assert self.begun.acquire(timeout=PATIENCE_S), "the callback was not called"

    def let_one_through(self) -> None:
        self._open.release()

    def open(self) -> None:
        self._wide_open = True
        self._open.release(1000)
