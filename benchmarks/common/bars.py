"""The bars: which ratio of which rows has to be how large, and whether it was.

Latencies of one round depend much on where the system puts the threads: a bar of p50 or p99 is
missed where three quarters of the rounds miss it, any other where the median does.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.common.figures import Results, values_of

OURS = "laplace-server"
MISSED = 0.75  # of the rounds


@dataclass(frozen=True)
class Bar:
    """Ours divided by another's, in the same round: at least or at most ``limit``.

    Against "" it is our figure itself that counts, where that is a ratio or a number already.
    Without a limit the ratio is only told.
    """

    row: str
    figure: str
    against: str
    at_least: bool
    limit: float | None = None
    inverse: bool = False
    """The other's divided by ours: how many times faster."""

    @property
    def is_latency(self) -> bool:
        """Whether it is about p50 or p99."""
        return self.figure.startswith(("p50", "p99"))

    def keeps(self, ratio: float) -> bool:
        """Tell whether this ratio is as it should be."""
        if self.limit is None:
            return True
        return ratio >= self.limit if self.at_least else ratio <= self.limit

    def ratios(self, results: Results) -> list[float]:
        """One ratio for each round that has both."""
        ours = results.get(self.row, {}).get(OURS, [])
        if not self.against:
            return values_of(ours, self.figure)
        others = results.get(self.row, {}).get(self.against, [])
        pairs = [(a[self.figure], b[self.figure]) for a, b in zip(ours, others, strict=False)]
        if self.inverse:
            pairs = [(b, a) for a, b in pairs]
        return [a / b for a, b in pairs if a is not None and b]


@dataclass(frozen=True)
class Outcome:
    """A bar and what was measured: the ratio over the rounds, and how many of them miss it."""

    bar: Bar
    median: float
    least: float
    greatest: float
    rounds: int
    missed_rounds: int

    @property
    def met(self) -> bool:
        """Whether the bar is kept."""
        if self.bar.is_latency:
            return self.missed_rounds < MISSED * self.rounds
        return self.bar.keeps(self.median)


def outcomes(bars: Iterable[Bar], results: Results) -> list[Outcome]:
    """Every bar that the results have figures for."""
    found = []
    for bar in bars:
        ratios = bar.ratios(results)
        if ratios:
            missed = sum(not bar.keeps(ratio) for ratio in ratios)
            figures = statistics.median(ratios), min(ratios), max(ratios)
            found.append(Outcome(bar, *figures, len(ratios), missed))
    return found
