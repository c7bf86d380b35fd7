"""The bars: which ratio of which rows has to be how large, and whether it was."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rows import ALL, ECHO, ORIGINAL, OURS, PEERS
from stream_rows import PYZMQ

# results[row][peer] is a list with the figures of each round.
Results = dict[str, dict[str, list[dict[str, Any]]]]


@dataclass(frozen=True)
class Bar:
    """Ours divided by another's, in the same round: at least or at most ``limit``.

    Against "" it is our figure itself that counts, where that is a ratio or a number already.
    """

    row: str
    figure: str
    against: str
    at_least: bool
    limit: float
    inverse: bool = False
    """The other's divided by ours: how many times faster."""

    def ratios(self, results: Results) -> list[float]:
        """One ratio for each round that has both."""
        ours = results.get(self.row, {}).get(OURS, [])
        if not self.against:
            return [each[self.figure] for each in ours if each[self.figure] is not None]
        others = results.get(self.row, {}).get(self.against, [])
        pairs = [(a[self.figure], b[self.figure]) for a, b in zip(ours, others, strict=False)]
        if self.inverse:
            pairs = [(b, a) for a, b in pairs]
        return [a / b for a, b in pairs if a is not None and b]


@dataclass(frozen=True)
class Outcome:
    """A bar and what was measured: the median ratio over the rounds, least and greatest."""

    bar: Bar
    median: float
    least: float
    greatest: float

    @property
    def met(self) -> bool:
        """Whether the median keeps the bar."""
        return self.median >= self.bar.limit if self.bar.at_least else self.median <= self.bar.limit


def _table() -> Iterator[Bar]:
    yield Bar("read2x1", "p50", ECHO, False, 1.15)
    yield Bar("read2x1", "p50", ORIGINAL, False, 1.0)
    yield Bar("read2x8", "per_s", ECHO, True, 0.9)
    yield Bar("read2x64", "per_s", ECHO, True, 0.9)
    yield Bar("read2x8", "per_s", ORIGINAL, True, 1.5)
    yield Bar("pipelined", "per_s", ECHO, True, 0.7)
    yield Bar("read2000x1", "per_s", ORIGINAL, True, 12)
    yield Bar("read2000x1", "per_s", ECHO, True, 0.9)
    for clients in (1, 8):
        yield Bar(f"busyx{clients}", "per_s", ORIGINAL, True, 200)
        yield Bar(f"busyx{clients}", "per_s", ECHO, True, 0.8)
        yield Bar(f"busyx{clients}", "p99", ECHO, False, 1.5)
    for clients in (1, 8):
        yield Bar(f"livex{clients}", "per_s", ORIGINAL, True, 1.0)
        yield Bar(f"live_busyx{clients}", "per_s", ORIGINAL, True, 1.0)
    for key in ("command", "on_get"):
        yield Bar(f"{key}x1", "p50", ORIGINAL, False, 1.05)
        yield Bar(f"{key}x8", "per_s", ORIGINAL, True, 1.0)
    yield Bar("pause", "mean", ECHO, False, 1.3)
    yield Bar("turns2", "us", ORIGINAL, True, 1.2, inverse=True)
    yield Bar("turns2000", "us", ORIGINAL, True, 15, inverse=True)
    yield Bar("set_data2", "us", ORIGINAL, True, 8, inverse=True)
    yield Bar("set_data2000", "us", ORIGINAL, True, 20, inverse=True)
    yield Bar("read2x8", "cpu_us", ORIGINAL, False, 0.5)
    python = [name for name in ALL if name not in (OURS, ECHO)]
    variants = ["read2", "read2000", "busy", "published"]
    for variant in variants:
        for clients in (1, 8):
            for name in python:
                if name != ORIGINAL or variant != "busy":
                    limit = (
                        3.0 if name in ("p4p", "pvapy") and variant in ("read2", "busy") else 0.95
                    )
                    yield Bar(f"{variant}x{clients}", "per_s", name, True, limit)
    for name in python:
        yield Bar("read2x64", "per_s", name, True, 0.95)
        if PEERS[name].speaks_zeromq:
            yield Bar("read2x512", "per_s", name, True, 0.95)
            yield Bar("pipelined", "per_s", name, True, 0.95)


def _streams() -> Iterator[Bar]:
    yield Bar("stream_small", "updates_per_s", PYZMQ, True, 2.0)
    yield Bar("stream_copied", "updates_per_s", PYZMQ, True, 0.95)
    yield Bar("stream_given", "updates_per_s", PYZMQ, True, 0.95)
    for row in ("stream_small", "stream_copied", "stream_given", "stream_fan_out", "stream_busy"):
        yield Bar(row, "lost", "", False, 0)
    yield Bar("stream_fan_out", "p99_ratio", "", False, 2.0)
    for rate in (1000, 10_000):
        for figure in ("p99_8_ratio", "p99_stopped_ratio"):
            yield Bar(f"stream_publish{rate}", figure, "", False, 1.5)
    yield Bar("stream_busy", "p99_ratio", "", False, 2.0)
    yield Bar("stream_busy_real_time", "p99_ratio", "", False, 2.0)
    yield Bar("stream_reads", "p99_ratio", "", False, 3.0)


BARS = (*_table(), *_streams())


def outcomes(results: Results) -> list[Outcome]:
    """Every bar that the results have figures for."""
    found = []
    for bar in BARS:
        ratios = bar.ratios(results)
        if ratios:
            found.append(Outcome(bar, statistics.median(ratios), min(ratios), max(ratios)))
    return found
