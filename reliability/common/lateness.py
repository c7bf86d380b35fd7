"""How late a clock of this process is: whether what looks on did itself get to run."""

from __future__ import annotations

import threading
import time
from types import TracebackType

TICK_S = 0.02
TOLERANCE_S = 0.01
"""By which a tick may be late on a machine with time to spare."""
STARVED_S = 1.0
"""Who is late by more has no word on how long others took."""


class Lateness(threading.Thread):
    """Ticks during a block, and counts by how much ticks are late, in seconds.

    A process that is stopped, or that others leave no core, is late by as long.
    """

    def __init__(self) -> None:
        super().__init__(name="lateness", daemon=True)
        self._over = threading.Event()
        self._longest_s = 0.0
        self._now = 0.0, time.monotonic() + TICK_S
        """Late in all so far, and when the next tick is due: read and written in one step."""

    @property
    def total_s(self) -> float:
        """By how much all ticks were late, that which is due by now too."""
        total_s, due = self._now
        return total_s + _late(due)

    @property
    def longest_s(self) -> float:
        """By how much one tick was late at most."""
        return max(self._longest_s, _late(self._now[1]))

    def run(self) -> None:
        """Tick."""
        while not self._over.wait(TICK_S):
            total_s, due = self._now
            late_s = _late(due)
            self._longest_s = max(self._longest_s, late_s)
            self._now = total_s + late_s, time.monotonic() + TICK_S

    def __enter__(self) -> Lateness:
        self._now = 0.0, time.monotonic() + TICK_S
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self.join()
        self._longest_s = self.longest_s
        self._now = self.total_s, float("inf")  # no tick is due any more


def _late(due: float) -> float:
    late_s = time.monotonic() - due
    return late_s if late_s > TOLERANCE_S else 0.0
