"""Drives a subscription's protocol in a thread: it moves bytes, and waits."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import queue
import time
from collections.abc import Callable
from typing import Any

from laplace_server.client import subscription_reader
from laplace_server.client.names import Found
from laplace_server.client.subscription import BaseSubscription
from laplace_server.client.subscription_steps import MOST_LATE_STEPS, Connect, Send, State
from laplace_server.client.sync.opening import LONGEST_WAIT_S
from laplace_server.client.sync.stream_connection import StreamConnection
from laplace_server.client.sync.takers import Takers
from laplace_server.client.timed_queue import TimedQueue
from laplace_server.errors import ClientClosed

_FOLLOWING = State.FOLLOWING

# While it begins, until it is noticed that the client has been closed.
_CLOSED_CLIENT_S = 0.05


class ThreadDriver(BaseSubscription):
    """One thread at a time has it work; any may ask it to end."""

    _connection: StreamConnection | None

    def __init__(self, address: str, name: str, stream: str, **options: Any) -> None:
        super().__init__(address, name, stream, **options)
        self._takers = Takers(ThreadDriver._work.__code__)
        self._bell: TimedQueue[None] = TimedQueue()
        self._numbers = itertools.count(1)  # of messages, over all connections

    def _work(self, is_done: Callable[[float], bool], deadline: float) -> bool:
        """Drive the protocol until something is done; False: it is not up to the deadline."""
        late = 0
        try:
            self._takers.enter(self)
            while True:
                connection = self._connection
                if self._closed:
                    self._drop()  # what came meanwhile
                    raise ClientClosed(f"{self!r} is closed.")
                # Most often this is all, and then Python's code is not in the processor's caches.
                follow = None if connection is None else connection.follow
                if (
                    follow is not None
                    and self._check is None
                    and follow(deadline, subscription_reader.SILENCE_S, _FOLLOWING)
                ):
                    if self._closed:
                        continue
                    return True
                self._check_process()
                now = time.monotonic()
                if is_done(now):
                    return True
                late += now >= deadline
                if late > MOST_LATE_STEPS or not self._step(now, deadline):
                    return False
        finally:
            self._takers.leave()
            if self._closed:
                self._end_or_wake()

    def _step(self, now: float, deadline: float) -> bool:
        """Do what is to do, or else wait for a message; False: none came up to the deadline."""
        followed = self._protocol
        step = followed.todo(now)
        if step is not None:
            # What has come is read before anything is said, as in ``follow``.
            if not (isinstance(step, Send) and self._receive(0.0)):
                self._carry_out(step)
            return True
        longest_s = math.inf if self._check is None else _CLOSED_CLIENT_S
        wait_s = min(followed.until - now, deadline - now, longest_s)
        if self._receive(wait_s):
            return True
        now, connection = time.monotonic(), self._connection
        if connection is None or not connection.tell(followed, now):
            followed.nothing(now)
        return now < deadline

    def _receive(self, seconds: float) -> bool:
        """Wait for a message or for what a search has found; say whether one has come."""
        connection = self._connection
        if connection is not None and not connection.is_over:
            return connection.receive(seconds, self._protocol.incoming)
        with contextlib.suppress(queue.Empty):
            self._bell.get(min(seconds, LONGEST_WAIT_S))
        return False

    def _connect(self, question: Connect | None) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if question is not None:
            self._connection = StreamConnection(self._protocol, question, self._numbers, self._keys)

    def _teller(self) -> Callable[[Found], None]:
        incoming, bell = self._protocol.incoming, self._bell

        def tell(found: Found) -> None:
            incoming.append(found)
            bell.put(None)

        return tell

    # ---- the end

    def _end_or_wake(self) -> None:
        """Close the connection; or where a thread is taking, have it do so."""
        if self._process != os.getpid():
            return  # the connection is the parent's
        connection = self._connection
        if not self._takers.count(self):
            if connection is not None:
                connection.close(self._protocol.leave())
                self._connection = None
            return
        self._bell.put(None)
        # One that is opened later is seen by a taker that looks at ``_closed`` afterwards.
        if connection is not None:
            connection.interrupt()

    def _after_fork(self) -> None:
        """Let go of the parent's connection in a child."""
        self._drop()
        if self._connection is not None:
            self._connection.let_go()
            self._connection = None
