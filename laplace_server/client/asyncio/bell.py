"""What tasks wait for."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time

LONGEST_WAIT_S = 0.5


class Bell:
    """Rings for one task that waits; it refers to nobody, so who is forgotten can be collected."""

    def __init__(self) -> None:
        self._waiting: asyncio.Future[None] | None = None

    def next_ring(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return what is done when it rings."""
        waiting = self._waiting = loop.create_future()
        return waiting

    def ring(self) -> None:
        """Wake who waits, in the thread of its loop."""
        waiting = self._waiting
        # In a loop that has been closed, nobody waits any more.
        if waiting is not None and not waiting.done() and not waiting.get_loop().is_closed():
            waiting.set_result(None)

    def ring_from_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        """The same, in any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended before
            loop.call_soon_threadsafe(self.ring)


class Alarm:
    """Waits for bells, and rings those whose time is over: a timer for all, seldom set.

    It also rings now and then without a reason: an exception out of a signal handler may have
    swallowed a ring.
    """

    def __init__(self) -> None:
        self._waiting: dict[Bell, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = self._rings_all_at = math.inf

    async def wait(self, bell: Bell, until: float, now: float) -> None:
        """Wait until it rings, for no longer than ``LONGEST_WAIT_S``; times are monotonic ones."""
        loop = asyncio.get_running_loop()
        looks_at = self._looks_at
        if until < looks_at or looks_at < now - LONGEST_WAIT_S or loop is not self._loop:
            self._look_at(until, now, loop)
        waiting = self._waiting
        waiting[bell] = until
        try:
            await bell.next_ring(loop)
        finally:
            waiting.pop(bell, None)

    def ring_all(self) -> None:
        for bell in list(self._waiting):
            bell.ring()

    def _look_at(self, when: float, now: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if loop is not self._loop:
            self._loop, self._rings_all_at = loop, now + LONGEST_WAIT_S
        self._looks_at = when = min(when, max(now, self._rings_all_at))
        self._timer = loop.call_later(max(0.0, when - now), self._look)

    def _look(self) -> None:
        now = time.monotonic()
        self._looks_at = math.inf
        rings_all = now >= self._rings_all_at
        if rings_all:
            self._rings_all_at = now + LONGEST_WAIT_S
        if self._waiting and self._loop is not None:
            later = (until for until in self._waiting.values() if until > now)
            self._look_at(min(later, default=math.inf), now, self._loop)
        for bell, until in list(self._waiting.items()):
            if rings_all or until <= now:
                bell.ring()
