"""Connections to one server, each lent to one request at a time."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from laplace_server.errors import ClientClosed

# Idle connections kept for the next requests; only more threads than this at once open new ones.
MAX_IDLE = 32

# A signal that arrives while a wait begins, such as Ctrl-C, does not interrupt it; its handler runs
# after this time at the latest.
LONGEST_WAIT_S = 0.5


def connect_request_socket(socket: zmq.Socket[Any], address: str) -> None:
    """Connect a REQ socket, of whatever class."""
    # What could not be sent in time must not arrive later.
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.REQ_CORRELATE, 1)
    if "[" in address:
        socket.setsockopt(zmq.IPV6, 1)
    socket.connect(address)


class Connection:
    """A REQ socket, used by one request at a time.

    REQ keeps the lockstep that both servers expect. With REQ_CORRELATE libzmq puts a request id of
    4 bytes before the empty frame and drops answers that carry another, all without Python.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        self._socket = context.socket(zmq.REQ)
        try:
            connect_request_socket(self._socket, address)
            self._poller = zmq.Poller()
            self._poller.register(self._socket, zmq.POLLIN)
        except BaseException:
            self.close()
            raise

    def exchange(self, request: bytes, seconds: float) -> list[zmq.Frame]:
        """Send and return the reply's frames; raise zmq.Again after ``seconds``."""
        deadline = time.monotonic() + seconds
        self._socket.send(request, zmq.NOBLOCK)
        remaining = seconds
        while True:
            # Poll, since it keeps its deadline when signals keep arriving.
            self._poller.poll(math.ceil(min(remaining, LONGEST_WAIT_S) * 1000))
            try:
                return self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                # Not the end of the time, or an answer with another id, which is gone by now.
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise

    def close(self) -> None:
        """Let go of it; what was not sent is not sent any more."""
        self._socket.close()


class Pool:
    """The connections of one client in one process.

    The context is the client's own: ending it is the one call that wakes the requests of other
    threads, and neither the program's use of ``Context.instance()`` nor other clients are touched.

    There is no lock, since close() may run in a signal handler or a finalizer in the middle of any
    line here, and a forked child could inherit it locked. Appending to and popping from the
    containers used is atomic; whoever changes something looks at ``closed`` afterwards.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._idle: deque[Connection] = deque()
        self._under_way: dict[object, None] = {}
        self._open = [self._context]
        self.closed = False

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection for one exchange; keep it if that succeeded, else throw it away."""
        token = object()
        connection: Connection | None = None
        # Before looking at ``closed``: so either close() sees this request or it sees close().
        self._under_way[token] = None
        try:
            if self.closed:
                raise ClientClosed(f"The client of {self._address} is closed.")
            connection = self._take()
            yield connection
            # Let go first: an interrupt in between must not put a closed socket among the idle.
            finished, connection = connection, None
            self._give_back(finished)
        except zmq.Again:
            # The others connected at about the same time to the same machine: had it lost its
            # power, each of them would cost one more time-out.
            self.drop_idle()
            raise
        except zmq.ZMQError as error:
            if self.closed:
                raise ClientClosed(
                    f"The client of {self._address} was closed during a request."
                ) from error
            raise
        finally:
            if connection is not None:
                connection.close()
            del self._under_way[token]

    def _take(self) -> Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return Connection(self._context, self._address)

    def _give_back(self, connection: Connection) -> None:
        if len(self._idle) >= MAX_IDLE:
            connection.close()
            return
        self._idle.append(connection)
        if self.closed:
            self.drop_idle()

    def drop_idle(self) -> None:
        """Close the connections that no request uses."""
        # Counts as under way, so that no close() meanwhile waits for a socket held here.
        token = object()
        self._under_way[token] = None
        try:
            while self._idle:
                try:
                    connection = self._idle.pop()
                except IndexError:
                    return
                connection.close()
        finally:
            del self._under_way[token]

    def close(self) -> None:
        """Close all; requests under way raise ClientClosed. Waits for nothing."""
        self.closed = True
        self.drop_idle()
        try:
            context = self._open.pop()
        except IndexError:
            return
        if not self._under_way:
            context.term()
            return
        # Ending the context waits until the requests under way have closed their sockets. One of
        # them may be this thread's own, interrupted by a signal, so somebody else has to wait.
        try:
            threading.Thread(target=context.term, name="laplace-client-close", daemon=True).start()
        except RuntimeError:
            # The interpreter is ending and starts no threads; the sockets go with the process.
            self._open.append(context)
