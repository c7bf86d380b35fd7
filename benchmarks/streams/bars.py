"""The bars of streams."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.common.bars import Bar
from benchmarks.streams.rows import PYZMQ
from benchmarks.streams.streaming import SEALING


def _table() -> Iterator[Bar]:
    yield Bar("stream_steady", "p50", PYZMQ, False, 0.5)
    yield Bar("stream_steady", "p99", PYZMQ, False, 0.7)
    yield Bar("stream_steady", "subscriber_us", PYZMQ, False, 0.7)
    yield Bar("stream_fan_out", "p50", PYZMQ, False, 0.8)
    yield Bar("stream_fan_out", "p99", PYZMQ, False, 1.2)
    yield Bar("stream_busy", "p99_busy", PYZMQ, False, 1.0)
    yield Bar("stream_publish1000", "p50_8", PYZMQ, False, 1.2)
    yield Bar("stream_publish1000", "p50_1", PYZMQ, False)
    yield Bar("stream_small", "updates_per_s", PYZMQ, True, 2.5)
    yield Bar("stream_copied", "updates_per_s", PYZMQ, True, 1.1)
    yield Bar("stream_given", "updates_per_s", PYZMQ, True, 1.1)
    yield Bar("stream_far", "mb_per_s", "", True, 60)
    for row in ("stream_curve_copied", "stream_curve_given"):
        yield Bar(row, "updates_per_s", PYZMQ, True, 1.1)
        yield Bar(row, "updates_per_s", SEALING, True, 0.9)
        yield Bar(row, "lost", "", False, 0)
    yield Bar("stream_curve_steady", "p50", PYZMQ, False)
    whole = "small", "copied", "given", "far", "steady", "fan_out", "busy"
    for row in (f"stream_{name}" for name in whole):
        yield Bar(row, "lost", "", False, 0)
    yield Bar("stream_fan_out", "p99_ratio", "", False, 2.0)
    for rate in (1000, 10_000):
        for figure in ("p99_8_ratio", "p99_stopped_ratio"):
            yield Bar(f"stream_publish{rate}", figure, "", False, 1.5)
    yield Bar("stream_busy", "p99_ratio", "", False, 3.0)
    yield Bar("stream_busy_real_time", "p99_ratio", "", False, 2.0)
    yield Bar("stream_reads", "p99_ratio", "", False, 2.0)


BARS = tuple(_table())
