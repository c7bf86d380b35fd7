"""The time that counts for those who are waited for."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """Seconds in which sources could be heard: of a turn of the loop, ``longest_s`` count at most.

    While it does not come round, since it has much to do, or since the whole program stands still,
    time passes for nobody: what comes meanwhile must not be late by that.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._looked_at = time.monotonic()
        self._now = 0.0
        self._fresh = False

    def now(self) -> float:
        if not self._fresh:
            self._fresh = True
            at = time.monotonic()
            self._now += min(at - self._looked_at, self._longest_s)
            self._looked_at = at
            asyncio.get_running_loop().call_soon(self._turn)
        return self._now

    def _turn(self) -> None:
        self._fresh = False
