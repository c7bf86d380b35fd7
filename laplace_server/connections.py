"""Connections to one server, each lent to one request at a time."""

from __future__ import annotations

import _thread
import contextlib
import math
import queue
import time
import weakref
from collections import deque
from typing import Any

import zmq

from laplace_server import names
from laplace_server.connection_events import ConnectionEvents
from laplace_server.errors import ClientClosed
from laplace_server.sockets import Context

# Idle connections kept for the next requests; only more threads than this at once open new ones.
MAX_IDLE = 32

# In use at once. Further requests wait for one.
MAX_CONNECTIONS = 64

# A signal that arrives while a wait begins, such as Ctrl-C, does not interrupt it; its handler runs
# after this time at the latest.
LONGEST_WAIT_S = 0.5


class NoAnswer(Exception):
    """Within the time allowed. ``reason`` says why, where that is known."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason)
        self.reason = reason


def all_in_use(count: int) -> str:
    """Return the reason of a request that waited for a connection in vain."""
    return f"other requests were using all {count} connections of this client"


def connect_request_socket(
    socket: zmq.Socket[Any], events: ConnectionEvents, endpoint: str
) -> None:
    """Connect a REQ socket, of whatever class, to a numeric address."""
    # What could not be sent in time must not arrive later.
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.REQ_CORRELATE, 1)
    if "[" in endpoint:
        socket.setsockopt(zmq.IPV6, 1)
    events.listen()
    socket.connect(endpoint)


class Connection:
    """A REQ socket, used by one request at a time.

    REQ keeps the lockstep that both servers expect. With REQ_CORRELATE libzmq puts a request id of
    4 bytes before the empty frame and drops answers that carry another, all without Python.
    """

    def __init__(self, context: Context, endpoint: str) -> None:
        """Begin to connect to a numeric address."""
        self._socket = context.socket(zmq.REQ)
        self._events: ConnectionEvents | None = None
        try:
            self._events = ConnectionEvents(self._socket)
            connect_request_socket(self._socket, self._events, endpoint)
            self._poller = zmq.Poller()
            self._poller.register(self._socket, zmq.POLLIN)
        except BaseException:
            self.close()
            raise

    def made(self, deadline: float, or_refused: bool) -> bool:
        """Wait until somebody takes the connection; False where that takes longer.

        ``or_refused``: do not wait for a second attempt.
        """
        events = self._events
        while events is not None:
            events.read()
            if events.taken:
                self._stop_listening()
                break
            remaining = deadline - time.monotonic()
            if remaining <= 0 or (or_refused and events.refused):
                return False
            events.monitor.poll(_milliseconds(remaining))
        return True

    def send(self, request: bytes) -> None:
        """Send without waiting, also where the connection is broken: it will be made again."""
        self._socket.send(request, zmq.NOBLOCK)

    def trouble(self, before: str) -> str:
        """Say why it was not made; ``before``: what it was at the attempt before this one."""
        return before if self._events is None else self._events.trouble(before)

    def answer(self, deadline: float) -> list[zmq.Frame]:
        """Return the reply's frames.

        Raises:
            NoAnswer: none came up to the deadline.
        """
        remaining = deadline - time.monotonic()
        while True:
            # Poll, since it keeps its deadline when signals keep arriving.
            self._poller.poll(_milliseconds(remaining))
            try:
                return self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                # Not the end of the time, or an answer with another id, which is gone by now.
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise NoAnswer(None) from None

    def close(self) -> None:
        """Let go of it; what was not sent is not sent any more."""
        self._stop_listening()
        self._socket.close()

    def _stop_listening(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            events.close()


def _milliseconds(seconds: float) -> int:
    return math.ceil(min(max(0.0, seconds), LONGEST_WAIT_S) * 1000)


class Pool:
    """The connections of one client in one process.

    The context is the client's own: ending it is the one call that wakes the requests of other
    threads, and neither the program's use of ``Context.instance()`` nor other clients are touched.

    There is no lock, since close() may run in a signal handler or a finalizer in the middle of any
    line here, and a forked child could inherit it locked. Appending to and popping from the
    containers used is atomic, and the queues are reentrant; whoever changes something looks at
    ``closed`` afterwards. A handler may also raise in the middle of any line: so what is under way
    is known weakly, and counts no more once it is gone, whatever it had no time to put back.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.place = names.Place(address)
        self.context = Context()
        self.idle: deque[Connection] = deque()
        # By id.
        self.under_way: dict[int, weakref.ref[_Exchange]] = {}
        self.in_use: dict[int, weakref.ref[_Exchange]] = {}  # those that may have a connection
        self.waiting: dict[int, weakref.ref[_Exchange]] = {}  # for one of those to end
        self.ended: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._open = [self.context]
        self.closed = False

    def exchange(self, request: bytes, seconds: float) -> list[zmq.Frame]:
        """Send a request and return the frames of its reply.

        Raises:
            NoAnswer: none came within the time, in seconds.
            ClientClosed: the client is closed, before or meanwhile.
        """
        exchange = _Exchange(self, time.monotonic() + seconds)
        try:
            # Before looking at ``closed``: so either close() sees this request or it sees close().
            self.under_way[id(exchange)] = weakref.ref(exchange)
            if self.closed:
                raise ClientClosed(f"The client of {self.address} is closed.")
            return exchange.run(request)
        except (NoAnswer, zmq.ZMQError) as error:
            if self.closed:
                raise ClientClosed(
                    f"The client of {self.address} was closed during a request."
                ) from error
            if isinstance(error, NoAnswer):
                # The others connected at about the same time to the same machine: had it lost its
                # power, each of them would cost one more time-out.
                self.drop_idle()
            raise
        finally:
            exchange.end()
            self.under_way.pop(id(exchange), None)

    def may_use(self, exchange: _Exchange) -> bool:
        """Count a request among those that have a connection, if there are not too many."""
        # Counted first, so that of two at once not both are the last one.
        self.in_use[id(exchange)] = weakref.ref(exchange)
        if len(self.in_use) <= MAX_CONNECTIONS or len(_alive(self.in_use)) <= MAX_CONNECTIONS:
            return True
        self.in_use.pop(id(exchange), None)
        return False

    def keep(self, connection: Connection) -> None:
        """Take a connection for the next requests."""
        if len(self.idle) >= MAX_IDLE:
            connection.close()
            return
        self.idle.append(connection)
        if self.closed:
            self.drop_idle()

    def drop_idle(self) -> None:
        """Close the connections that no request uses."""
        # Counts as under way, so that no close() meanwhile waits for a socket held here.
        closing = _Exchange(self, 0.0)
        try:
            self.under_way[id(closing)] = weakref.ref(closing)
            while self.idle:
                try:
                    connection = self.idle.pop()
                except IndexError:
                    return
                connection.close()
        finally:
            self.under_way.pop(id(closing), None)

    def close(self) -> None:
        """Close all; requests under way raise ClientClosed. Waits for nothing."""
        self.closed = True
        self.drop_idle()
        for exchange in _alive(self.under_way):
            exchange.mail.put(None)
            self.ended.put(None)
        try:
            context = self._open.pop()
        except IndexError:
            return
        if not _alive(self.under_way):
            context.term()
            return
        # Ending the context waits until the requests under way have closed their sockets. One of
        # them may be this thread's own, interrupted by a signal, so somebody else has to wait.
        try:
            # Not by ``threading``, whose locks are not reentrant.
            _thread.start_new_thread(context.term, ())
        except RuntimeError:
            # The interpreter is ending and starts no threads; the sockets go with the process.
            self._open.append(context)

    def leave(self) -> None:
        """Let go of it in a forked child, where it is the parent's."""
        self.closed = True
        self._open.clear()
        self.context.term()  # of another process: nothing but a note that it is closed


def _alive(exchanges: dict[int, weakref.ref[_Exchange]]) -> list[_Exchange]:
    """Those that are still there; the others, whose end was interrupted, are forgotten."""
    alive = []
    for key, reference in list(exchanges.items()):
        exchange = reference()
        if exchange is not None:
            alive.append(exchange)
        elif exchanges.get(key) is reference:
            exchanges.pop(key, None)
    return alive


class _Exchange:
    """One request under way."""

    def __init__(self, pool: Pool, deadline: float) -> None:
        self._pool = pool
        self._deadline = deadline
        self._connection: Connection | None = None
        # What a search found, or None when the client closes.
        self.mail: queue.SimpleQueue[names.Found | None] = queue.SimpleQueue()

    def run(self, request: bytes) -> list[zmq.Frame]:
        """Return the frames of its reply; raise NoAnswer, or any error when the pool is closed."""
        self._wait_for_free()
        connection = self._take_idle() or self._connect()
        connection.send(request)
        frames = connection.answer(self._deadline)
        # Let go first: an interrupt in between must not put a closed socket among the idle.
        self._connection = None
        self._pool.keep(connection)
        return frames

    def end(self) -> None:
        """Give back what it has; a connection whose answer did not come is thrown away."""
        self._drop()
        pool = self._pool
        if pool.in_use.pop(id(self), None) is not None and pool.waiting:
            pool.ended.put(None)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _wait_for_free(self) -> None:
        """Wait until one more connection may be used."""
        pool = self._pool
        if pool.may_use(self):
            return
        try:
            pool.waiting[id(self)] = weakref.ref(self)
            while True:
                remaining = self._deadline - time.monotonic()
                # What has no time left is not sent: nobody would hear of what it does.
                if remaining <= 0:
                    raise NoAnswer(all_in_use(MAX_CONNECTIONS))
                if pool.may_use(self):
                    return
                with contextlib.suppress(queue.Empty):
                    pool.ended.get(timeout=min(remaining, LONGEST_WAIT_S))
                if pool.closed:
                    raise NoAnswer(None)
        finally:
            pool.waiting.pop(id(self), None)

    def _take_idle(self) -> Connection | None:
        try:
            self._connection = self._pool.idle.pop()
        except IndexError:
            return None
        return self._connection

    def _connect(self) -> Connection:
        """Open a connection; wait for somebody to take it, so that it is known if nobody does."""
        place = self._pool.place
        trouble = ""
        pause_s = names.FIRST_PAUSE_S
        while True:
            endpoint = place.endpoint
            if endpoint is None:
                place.search(self.mail.put)
                found = self._receive(self._deadline)
                if found is None:
                    raise NoAnswer(trouble or place.pending)
                endpoint = place.take(found)
                trouble = found.problem or trouble
            if endpoint is not None:
                self._connection = connection = Connection(self._pool.context, endpoint)
                until = min(self._deadline, time.monotonic() + place.patience_s)
                if connection.made(until, or_refused=place.is_name):
                    place.worked()
                    return connection
                trouble = connection.trouble(trouble)
                self._drop()
                if place.failed(endpoint) and time.monotonic() < self._deadline:
                    continue
            now = time.monotonic()
            if now >= self._deadline:
                raise NoAnswer(trouble)
            self._receive(min(self._deadline, now + pause_s))  # closing wakes it
            pause_s = min(names.LONGEST_PAUSE_S, 2 * pause_s)

    def _receive(self, until: float) -> names.Found | None:
        """Return what a search has found; None where it takes longer."""
        while True:
            remaining = until - time.monotonic()
            try:
                found = self.mail.get(timeout=max(0.0, min(remaining, LONGEST_WAIT_S)))
            except queue.Empty:
                if remaining <= 0:
                    return None
                continue
            if found is None:
                raise NoAnswer(None)
            return found
