"""The calls of one device, for somebody who must not wait; one thread carries out those of all.

Which call is next is decided here, in the loop's thread. Each is sent when the one before it has
ended, with two exceptions. HALT goes at once, and what was called before it and changes something
is cancelled where it has not been answered: nothing is sent after a HALT that was called before it.
And while a device moves, what only reads goes on, in an order of its own.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from laplace_server.client.calls import Call
from laplace_server.client.loop_thread import LoopThread
from laplace_server.client.outbox import News, Outbox, Told
from laplace_server.errors import ClientClosed, LaplaceError, RequestTimeout

if TYPE_CHECKING:
    from laplace_server.client.asyncio.client import AsyncClientLHC

__all__ = ["MOST_WAITING", "CallQueue"]

MOST_WAITING = 1000
"""Calls of a queue that wait; one more fails at once."""

# What waits for one whose time is over, too, is given up so much later: each is told in its turn.
_GRACE_S = 0.25


class CallQueue:
    """The calls of one client, and what becomes of them.

    Args:
        address: of the server.
        make_client: makes the client, in the loop's thread, at the first call.
        ring: as for Outbox.
    """

    def __init__(
        self, address: str, make_client: Callable[[], AsyncClientLHC], ring: Callable[[], None]
    ) -> None:
        self._address = address
        self._make_client = make_client
        self._outbox = Outbox(ring)
        self._thread: LoopThread | None = None
        self.ended = False
        """True once ``end`` has been called."""
        # From here on, all is the loop's.
        self._client: AsyncClientLHC | None = None
        self._commands: dict[Call, asyncio.TimerHandle] = {}  # that wait, with their time-outs
        self._reads: dict[Call, asyncio.TimerHandle] = {}
        self._tasks: dict[Call, asyncio.Task[Any]] = {}  # of those under way
        # Which of these the others wait for.
        self._command: Call | None = None
        self._read: Call | None = None
        self._halts: list[Call] = []
        self._trouble: str | None = None  # why nothing could be sent, as was told last
        self._last_task: asyncio.Task[None] | None = None

    # ---- for the receiver

    def begin(self, call: Call) -> None:
        """Put a call behind the others; its end will be told."""
        try:
            if self.ended:
                raise ClientClosed(f"The client of {self._address} is closed.")
            if self._thread is None:
                self._thread = LoopThread.enter(self)
                if self.ended:  # in another thread, which saw none
                    self._thread.call(self.finish)
            self._thread.call_here(self._add, call)
        except (RuntimeError, OSError) as error:  # also no threads or descriptors left
            self._outbox.put(Told(call, News.FAILED, error))

    def cancel(self, call: Call) -> None:
        """Have it not sent, or its answer not waited for."""
        if self._thread is not None:
            self._thread.call(self._cancel, call)

    def take(self) -> Told | None:
        """Take the next piece of news, as from an Outbox."""
        return self._outbox.take()

    def end(self) -> None:
        """End; waits for nothing. From any thread, any number of times, also when collected."""
        self.ended = True
        if self._thread is not None:
            self._thread.call(self.finish)

    # ---- in the loop

    def finish(self) -> None:
        """End all that is under way, then leave the thread. Called in the loop."""
        if self._last_task is None:
            self._last_task = asyncio.get_running_loop().create_task(self._finish())

    async def _finish(self) -> None:
        assert self._thread is not None
        try:
            for timer in (*self._commands.values(), *self._reads.values()):
                timer.cancel()
            self._commands.clear()
            self._reads.clear()
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            if self._client is not None:
                await self._client.close()
        finally:
            self._thread.leave(self)

    def _add(self, call: Call) -> None:
        if self._last_task is not None:
            return
        if call.method == "halt":
            self._clear_the_way()
            self._halts.append(call)
            self._start(call, call.seconds)
            return
        if len(self._commands) + len(self._reads) >= MOST_WAITING:
            text = f"{MOST_WAITING} calls wait for {self._address}; {call.cmd} was not sent."
            self._outbox.put(Told(call, News.FAILED, LaplaceError(text)))
            return
        self._wait(call, call.deadline - time.monotonic())
        self._advance(call)

    def _cancel(self, call: Call) -> None:
        task = self._tasks.get(call)
        if task is not None:
            task.cancel()
        elif self._take_out(call):
            self._outbox.put(Told(call, News.CANCELLED))
            self._advance()

    def _clear_the_way(self) -> None:
        """Before a HALT: nothing that was called before it may come after it."""
        for call in list(self._commands):
            self._take_out(call)
            self._outbox.put(Told(call, News.CANCELLED))
        command, self._command = self._command, None
        # A move whose device was seen since its SET ends by what the device says.
        if command is not None and not command.looked:
            self._tasks[command].cancel()

    def _wait(self, call: Call, seconds: float) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, self._expire, call)
        self._waiting(call)[call] = timer

    def _expire(self, call: Call) -> None:
        """It has waited for others all its time."""
        before = self._read or self._command or next(iter(self._halts), None)
        in_time = time.monotonic() < call.deadline + _GRACE_S
        if before is not None and before.deadline < call.deadline and in_time:
            self._wait(call, _GRACE_S)
        elif self._take_out(call):
            self._tell_expired(call)
            self._advance()

    def _tell_expired(self, call: Call) -> None:
        moving = self._command is not None and self._command.moves
        reason = "a move is under way" if moving else "those before it took so long"
        if self._trouble is not None:
            reason += f" ({self._trouble})"
        error = RequestTimeout(
            call.cmd, self._address, call.seconds, f"it was not sent, since {reason}"
        )
        self._outbox.put(Told(call, News.FAILED, error))

    # ---- the order

    def _advance(self, new: Call | None = None) -> None:
        """Start what is next, as long as there is something; ``new`` has not waited."""
        while (call := self._next()) is not None:
            self._take_out(call)
            # Texts of errors have that number.
            left = call.seconds if call is new else round(call.deadline - time.monotonic(), 3)
            if left > 0:
                self._start(call, left)
            else:
                self._tell_expired(call)

    def _next(self) -> Call | None:
        """Return the call that may be sent now."""
        read, command = next(iter(self._reads), None), next(iter(self._commands), None)
        if self._halts:  # what was called after a HALT is sent after it
            first = self._halts[0].number
            read = read if read is not None and read.number < first else None
            command = command if command is not None and command.number < first else None
        if self._read is not None:
            return None
        if self._command is not None:
            return read if self._command.moves else None
        if read is None or command is None:
            return read or command
        return min(read, command, key=lambda call: call.number)

    def _start(self, call: Call, seconds: float) -> None:
        if call.reads:
            self._read = call
        elif call.method != "halt":
            self._command = call
        task = asyncio.get_running_loop().create_task(self._carry_out(call, seconds))
        self._tasks[call] = task
        task.add_done_callback(functools.partial(self._done, call))

    async def _carry_out(self, call: Call, seconds: float) -> Any:
        if self._client is None:
            self._client = self._make_client()
        return await call.work(self._client, seconds, functools.partial(self._look, call))

    def _look(self, call: Call, data: dict[str, Any]) -> None:
        call.looked = True
        self._outbox.put(Told(call, News.PROGRESS, data))

    def _done(self, call: Call, task: asyncio.Task[Any]) -> None:
        del self._tasks[call]
        if self._last_task is not None:  # nobody listens any more
            task.cancelled() or task.exception()
            return
        if self._command is call:
            self._command = None
        elif self._read is call:
            self._read = None
        elif call in self._halts:
            self._halts.remove(call)
        if task.cancelled():
            told = Told(call, News.CANCELLED)
        elif (error := task.exception()) is not None:
            told = Told(call, News.FAILED, error)
            if isinstance(error, RequestTimeout):
                self._trouble = error.reason
        else:
            told = Told(call, News.ANSWERED, task.result())
            self._trouble = None
        self._outbox.put(told)
        self._advance()

    def _waiting(self, call: Call) -> dict[Call, asyncio.TimerHandle]:
        return self._reads if call.reads else self._commands

    def _take_out(self, call: Call) -> bool:
        """Take it out of those that wait; False: it is none of them."""
        timer = self._waiting(call).pop(call, None)
        if timer is not None:
            timer.cancel()
        return timer is not None
