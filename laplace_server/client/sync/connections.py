"""Connections to one server, each lent to one request at a time."""

from __future__ import annotations

import contextlib
import itertools
import queue
import weakref
from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from time import monotonic

from laplace_server.client import names
from laplace_server.client._frames import ClientKeys, Connection
from laplace_server.client.no_answer import ConnectionBroke, NoAnswer, all_in_use
from laplace_server.client.requests import request_numbers
from laplace_server.client.sync.opening import LONGEST_WAIT_S, Line, Opening
from laplace_server.client.timed_queue import TimedQueue
from laplace_server.errors import ClientClosed
from laplace_server.wire.limits import may_end_connection

# Idle connections kept for the next requests; only more threads than this at once open new ones.
MAX_IDLE = 32

# All at once. Further requests wait for one.
MAX_CONNECTIONS = 64


class Pool:
    """The connections of one client in one process.

    There is no lock, since close() may run in a signal handler or a finalizer in the middle of any
    line here, and a forked child could inherit it locked. What is done to the containers used is
    atomic, and the queues are reentrant; whoever changes something looks at ``closed`` afterwards.
    A handler may also raise anywhere: so lines are known weakly, and count no more once they are
    gone, whatever a request had no time to give back.
    """

    def __init__(self, address: str, keys: ClientKeys | None = None) -> None:
        self.address = address
        self.keys = keys
        self.place = names.Place(address)
        self.idle: deque[Line] = deque()
        # References that take themselves out, in one step, when what they refer to is gone.
        self.lines: set[weakref.ref[Line]] = set()
        self.waiting: set[_Place] = set()
        self._places = itertools.count()
        self.closed = False
        self._numbers = request_numbers()

    @property
    def under_way(self) -> int:
        """How many requests there are."""
        return len(self.lines) - len(self.idle) + len(self.waiting)

    def exchange(self, body: bytes, seconds: float, until_broken: bool = False) -> list[bytes]:
        """Send a request and return the frames of its reply.

        Raises:
            NoAnswer: none came within the time, in seconds.
            ConnectionBroke: none will come; only with ``until_broken``, else its time passes.
            ClientClosed: the client is closed, before or meanwhile.
            ZMQError: the system has no descriptors left.
        """
        # Most programs do little else: it calls as few functions as it can.
        deadline = monotonic() + seconds
        try:
            line = self.idle.pop()
        except IndexError:
            line = self._new_line(deadline)
        try:
            number = next(self._numbers)
            message = number, b"", body
            connection = line.connection
            if connection is None or not connection.ask(message):
                connection = self._send_anew(line, message, deadline)
            while True:  # with a condition, what a signal's handler raises could pass by `except`
                reply = connection.answer(number, deadline - monotonic())
                if reply is not None:
                    break
                self._check_waiting(line, deadline, until_broken)
            if connection.unsent or may_end_connection(reply[0]):
                self._end(line)  # the server said so before it closes
                return reply
        except NoAnswer as error:
            self._end(line)
            self._check_open(error)
            # The others connected at about the same time to the same machine: had it lost its
            # power, each of them would cost one more time-out.
            self.drop_idle()
            raise
        except ConnectionBroke:
            self._end(line)
            self.drop_idle()  # so have the others
            raise
        except BaseException:
            self._end(line)
            raise
        if len(self.idle) < MAX_IDLE:
            self.idle.append(line)
            if self.waiting:
                self._hand_on()
        else:
            self._end(line)
        if self.closed:
            self.drop_idle()
        return reply

    # ---- the parts of an exchange

    def _new_line(self, deadline: float) -> Line:
        """Return one more line; or where there are too many, wait for one."""
        self._check_open()
        line = None if self.waiting else self._add_line()
        if line is not None:
            return line
        waiter = _Waiter()
        place = _Place(waiter, self.waiting.discard)
        place.number = next(self._places)
        try:
            while True:
                # Again where whoever took it out was interrupted.
                self.waiting.add(place)
                self._hand_on()
                # Afterwards: so either close() sees this one, or this sees close().
                self._check_open()
                # What has no time left is not sent: nobody would hear of what it does.
                if monotonic() >= deadline:
                    raise NoAnswer(all_in_use(MAX_CONNECTIONS))
                line = waiter.line_within(min(deadline - monotonic(), LONGEST_WAIT_S))
                if line is not None:
                    return line
        finally:
            self.waiting.discard(place)
            # Given at the last moment.
            while (other := waiter.line_within(0.0)) is not None:
                self.idle.append(other)
                self._hand_on()

    def _hand_on(self) -> None:
        """Give lines to those who wait for one, in order.

        Who has just given one back would else have it again, always, and others never.
        """
        while self.waiting and not self.closed:
            line = self._idle_line() or self._add_line()
            if line is None:
                return
            waiter = self._first_waiter()
            if waiter is not None:
                waiter.given.put(line)
            elif line.connection is not None:
                self.idle.append(line)
            else:
                self.lines.discard(line.known)
        if self.closed:
            self.drop_idle()

    def _first_waiter(self) -> _Waiter | None:
        while True:
            place = min(list(self.waiting), key=_number_of, default=None)
            if place is None:
                return None
            # One thread can take it out.
            with contextlib.suppress(KeyError):
                self.waiting.remove(place)
                waiter = place()
                if waiter is not None:
                    return waiter

    def _idle_line(self) -> Line | None:
        try:
            return self.idle.pop()
        except IndexError:
            return None

    def _add_line(self) -> Line | None:
        line = Line()
        known = line.known = weakref.ref(line, self.lines.discard)
        # Counted first, so that of two at once not both are the last one.
        self.lines.add(known)
        if len(self.lines) <= MAX_CONNECTIONS:
            return line
        self.lines.discard(known)
        return None

    def _send_anew(self, line: Line, message: Sequence[bytes], deadline: float) -> Connection:
        """Send by a new connection: there is none, or it is no good any more."""
        line.end()
        connection = Opening(self.place, line, deadline, self._check, self.keys).run()
        # Not again where it breaks: from here on the server may have it.
        connection.send(message)
        return connection

    def _check_waiting(self, line: Line, deadline: float, until_broken: bool) -> None:
        """Raise NoAnswer or ConnectionBroke where a reply will not come, or not in time."""
        self._check()
        if line.connection is None or line.connection.broken:
            if until_broken:
                raise ConnectionBroke
            # Whether the request has run nobody knows, and so nobody may hurry to send it again.
            line.end()
            Opening(self.place, line, deadline, self._check).wait_for_the_end()
            raise NoAnswer(None)
        if monotonic() >= deadline:
            raise NoAnswer(None)

    def _check(self) -> None:
        if self.closed:
            raise NoAnswer(None)

    def _check_open(self, during: NoAnswer | None = None) -> None:
        if self.closed:
            when = "is closed" if during is None else "was closed during a request"
            raise ClientClosed(f"The client of {self.address} {when}.") from during

    # ---- connections

    def _end(self, line: Line) -> None:
        line.end()
        self.lines.discard(line.known)
        if self.waiting and not self.closed:
            self._hand_on()

    def drop_idle(self) -> None:
        """Close the connections that no request uses."""
        with contextlib.suppress(IndexError):
            while True:
                self._end(self.idle.pop())

    def close(self) -> None:
        """Close all; requests under way raise ClientClosed. Waits for nothing."""
        self.closed = True
        self.drop_idle()
        for known in list(self.lines):
            line = known()
            if line is not None:
                line.wake()
        for place in list(self.waiting):
            waiter = place()
            if waiter is not None:
                waiter.given.put(None)

    def leave(self) -> None:
        """Let go of it in a forked child, where it is the parent's."""
        self.closed = True
        for known in list(self.lines):
            line = known()
            if line is not None:
                line.end()


class _Waiter:
    """A request that waits for a line."""

    def __init__(self) -> None:
        self.given: TimedQueue[Line | None] = TimedQueue()

    def line_within(self, seconds: float) -> Line | None:
        """Return the line that it is given; None: it is given none in that time, or woken."""
        with contextlib.suppress(queue.Empty):
            return self.given.get(seconds)
        return None


class _Place(weakref.ref[_Waiter]):
    """That of one who waits, among the others."""

    __slots__ = ("number",)

    number: int


_number_of = attrgetter("number")
