"""Opens connections for requests: to wherever the server is, as often as it takes."""

from __future__ import annotations

import errno
import os
import queue
import time
import weakref
from collections.abc import Callable

import zmq

from laplace_server.client import names
from laplace_server.client._frames import REQ, ClientKeys, Connection
from laplace_server.client.no_answer import NoAnswer, trouble_of
from laplace_server.client.timed_queue import TimedQueue

# At a queue. A signal that arrives while a wait begins, such as Ctrl-C, does not interrupt it; its
# handler runs after this time at the latest.
LONGEST_WAIT_S = 0.5


def connect(socket_type: int, endpoint: str, keys: ClientKeys | None) -> Connection:
    """Begin to connect to a numeric address.

    Raises:
        ZMQError: the system has no descriptors left, or forbids it, or has no such interface.
    """
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    try:
        return Connection(socket_type, host.strip("[]"), int(port), keys)
    except OSError as problem:
        raise zmq.ZMQError(problem.errno, problem.strerror) from None
    except ValueError:  # of what stands behind the %: the interface may come yet
        raise zmq.ZMQError(errno.ENODEV, os.strerror(errno.ENODEV)) from None


class Line:
    """What a request has to itself: a connection, or what becomes one."""

    known: weakref.ref[Line]  # by it, to the others of the same client
    connection: Connection | None = None
    events: TimedQueue[names.Found | None] | None = None

    def wake(self) -> None:
        """End the waiting of whoever has it, for good."""
        connection, events = self.connection, self.events
        if connection is not None:
            connection.interrupt()
        if events is not None:
            events.put(None)

    def end(self) -> None:
        """Throw the connection away."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Opening:
    """Opens a connection for one request.

    Args:
        place: where the server is.
        line: what gets the connection.
        deadline: when to give up.
        check: raises where the client is closed.
        keys: of the client and the server.
    """

    def __init__(
        self,
        place: names.Place,
        line: Line,
        deadline: float,
        check: Callable[[], None],
        keys: ClientKeys | None = None,
    ) -> None:
        self._place = place
        self._line = line
        self._deadline = deadline
        self._check = check
        self._keys = keys
        self._trouble = ""
        self._events: TimedQueue[names.Found | None] = TimedQueue()
        line.events = self._events

    def run(self) -> Connection:
        """Wait for the end of a handshake: what breaks before that has not had the request.

        Raises:
            NoAnswer: none came about.
            ZMQError: as ``connect``.
        """
        place = self._place
        pause_s = names.FIRST_PAUSE_S
        while True:
            self._check()
            endpoint = place.endpoint or self._search()
            if endpoint is not None:
                connection = self._try(endpoint)
                if connection is not None:
                    place.worked()
                    return connection
                if place.failed(endpoint) and time.monotonic() < self._deadline:
                    continue
            now = time.monotonic()
            if now >= self._deadline:
                raise NoAnswer(self._trouble)
            self._found(min(self._deadline, now + pause_s))  # closing ends it
            if place.is_name:
                pause_s = min(names.LONGEST_PAUSE_S, 2 * pause_s)

    def wait_for_the_end(self) -> None:
        """Wait until the time is over, for what will not come."""
        self._check()
        self._found(self._deadline)

    def _search(self) -> str | None:
        self._place.search(self._events.put)
        found = self._found(self._deadline)
        if found is None:
            raise NoAnswer(self._trouble or self._place.pending)
        self._trouble = found.problem or self._trouble
        return self._place.take(found)

    def _try(self, endpoint: str) -> Connection | None:
        connection = self._line.connection = connect(REQ, endpoint, self._keys)
        begun = time.monotonic()
        patience_until = min(self._deadline, begun + self._place.patience_s)
        while True:
            # Behind all that makes a new thing to wait for: so either close() sees that, or this
            # sees close().
            self._check()
            if connection.ready:
                return connection
            until = self._deadline if connection.connected else patience_until
            now = time.monotonic()
            if connection.broken or now >= until:
                trouble = trouble_of(connection, self._trouble, now - begun)
                self._trouble = self._place.telling(trouble)
                self._line.end()
                return None
            connection.wait(until - now)

    def _found(self, until: float) -> names.Found | None:
        """Return what a search has found; None where it takes longer."""
        while True:
            remaining = until - time.monotonic()
            try:
                found = self._events.get(min(remaining, LONGEST_WAIT_S))
            except queue.Empty:
                if remaining <= 0:
                    return None
                continue
            self._check()
            if found is not None:
                return found
