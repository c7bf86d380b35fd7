"""Drives a subscription's protocol in a task: it moves bytes, and waits."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

from laplace_server.client.asyncio.bell import Alarm, Bell
from laplace_server.client.asyncio.stream_connection import StreamConnection
from laplace_server.client.names import Found
from laplace_server.client.subscription import BaseSubscription
from laplace_server.client.subscription_steps import MOST_LATE_STEPS, Connect, Send
from laplace_server.errors import ClientClosed

# While it begins, until it is noticed that the client has been closed.
_CLOSED_CLIENT_S = 0.05

_STEPS_IN_A_ROW = 64


class TaskDriver(BaseSubscription):
    """One task at a time has it work; any may ask it to end."""

    _connection: StreamConnection | None

    def __init__(self, address: str, name: str, stream: str, **options: Any) -> None:
        super().__init__(address, name, stream, **options)
        self._taker: asyncio.Task[Any] | None = None
        self._keeper: asyncio.Task[Any] | None = None  # in ``take``
        self._bell = Bell()  # where there is no connection to wait for
        self._alarm = Alarm()
        self._waited = False  # since ``next`` looked last
        self._numbers = itertools.count(1)  # of messages, over all connections

    async def _work(self, is_done: Callable[[float], bool], deadline: float) -> bool:
        """Drive the protocol until something is done; False: it is not up to the deadline."""
        self._check_process()
        me = asyncio.current_task()
        self._check_alone(self._taker)
        self._taker = me
        late = steps = 0
        try:
            while True:
                steps += 1
                if steps % _STEPS_IN_A_ROW == 0:  # of which none may have waited
                    await asyncio.sleep(0)
                if self._closed:
                    raise ClientClosed(f"{self!r} is closed.")
                now = time.monotonic()
                if is_done(now):
                    return True
                late += now >= deadline
                if late > MOST_LATE_STEPS or not await self._step(now, deadline):
                    return False
        finally:
            if self._taker is me:
                self._taker = None

    def _check_alone(self, taker: asyncio.Task[Any] | None) -> None:
        """Raise RuntimeError where another task takes updates."""
        # One that has ended, or is asking again, was interrupted before it could say so.
        if not (taker is None or taker is asyncio.current_task() or _has_ended(taker)):
            raise RuntimeError("Another task takes updates of this subscription.")

    async def _step(self, now: float, deadline: float) -> bool:
        """Do what is to do, or else wait for a message; False: none came up to the deadline."""
        followed = self._protocol
        step, connection = followed.todo(now), self._connection
        if step is not None:
            # What has come is read before anything is said, as in a thread.
            if not (isinstance(step, Send) and connection is not None and connection.collect()):
                self._carry_out(step)
            return True
        if connection is not None and (connection.collect() or connection.tell(followed, now)):
            return True
        followed.nothing(now)
        until = min(followed.until, deadline)
        if self._check is not None:
            until = min(until, now + _CLOSED_CLIENT_S)
        if until > now:
            bell = self._bell
            if connection is not None:
                connection.watch()
                bell = connection.bell
            self._waited = True
            await self._alarm.wait(bell, until, now)
        return time.monotonic() < deadline

    def _teller(self) -> Callable[[Found], None]:
        loop, incoming, bell = asyncio.get_running_loop(), self._protocol.incoming, self._bell

        def tell(found: Found) -> None:
            incoming.append(found)
            bell.ring_from_thread(loop)

        return tell

    def _connect(self, question: Connect | None) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if question is not None:
            incoming = self._protocol.incoming
            self._connection = StreamConnection(question, incoming, self._numbers, self._keys)

    def _end(self) -> None:
        """Close it, and wake who waits for it."""
        self._drop()
        connection = self._connection
        if connection is not None:
            connection.close(self._protocol.leave())
            connection.bell.ring()
            self._connection = None
        self._bell.ring()

    def _after_fork(self) -> None:
        """Let go of the parent's connection in a child."""
        self._drop()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _has_ended(task: asyncio.Task[Any]) -> bool:
    """Say whether it takes nothing any more; its loop may have been closed before it was done."""
    return task.done() or task.get_loop().is_closed()
