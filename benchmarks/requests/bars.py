"""The bars of requests."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.common.bars import OURS, Bar
from benchmarks.requests.rows import ALL, PEERS, PYZMQ
from benchmarks.requests.servers import ECHO, ORIGINAL, RAW


def _transport() -> Iterator[Bar]:
    """Against plain TCP, bare libzmq and what they make of a server written in Python."""
    yield Bar("read2x1", "p50", RAW, False, 1.25)
    yield Bar("read2x1", "p50", ECHO, False, 0.85)
    yield Bar("read2x8", "per_s", ECHO, True, 1.5)
    yield Bar("read2x64", "per_s", ECHO, True, 1.1)
    yield Bar("pipelined", "per_s", ECHO, True, 2.0)
    for clients in (1, 8, 64):
        yield Bar(f"read2x{clients}", "cpu_us", ECHO, False, 0.5)
        yield Bar(f"read2x{clients}", "cpu_us", ORIGINAL, False, 0.35)
    yield Bar("read2000x1", "per_s", ECHO, True, 1.3)
    for clients in (1, 8):
        yield Bar(f"busyx{clients}", "per_s", ECHO, True, 1.3)
        yield Bar(f"busyx{clients}", "p99", ECHO, False, 1.0)
    yield Bar("commandx1", "p50", ORIGINAL, False, 0.7)
    yield Bar("commandx1", "p50", PYZMQ, False)
    yield Bar("commandx8", "per_s", ORIGINAL, True, 1.3)
    yield Bar("commandx8", "per_s", PYZMQ, True)
    yield Bar("crowd", "kib", "", False, 8.0)
    yield Bar("crowd", "kib_asked", "", False, 8.0)
    yield Bar("crowd", "p50_ratio", "", False, 1.2)
    yield Bar("idle", "wake_ups_per_s", "", False, 0)
    yield Bar("idle", "cpu_us_per_s", "", False, 0)


def _table() -> Iterator[Bar]:
    yield from _transport()
    yield Bar("read2x1", "p50", ORIGINAL, False, 1.0)
    yield Bar("read2x8", "per_s", ORIGINAL, True, 1.5)
    yield Bar("read2000x1", "per_s", ORIGINAL, True, 12)
    for clients in (1, 8):
        yield Bar(f"busyx{clients}", "per_s", ORIGINAL, True, 200)
    for clients in (1, 8):
        yield Bar(f"livex{clients}", "per_s", ORIGINAL, True, 1.0)
        yield Bar(f"live_busyx{clients}", "per_s", ORIGINAL, True, 1.0)
    yield Bar("on_getx1", "p50", ORIGINAL, False, 1.05)
    yield Bar("on_getx8", "per_s", ORIGINAL, True, 1.0)
    yield Bar("pause", "mean", ECHO, False, 1.3)
    yield Bar("turns2", "us", ORIGINAL, True, 1.2, inverse=True)
    yield Bar("turns2000", "us", ORIGINAL, True, 15, inverse=True)
    yield Bar("set_data2", "us", ORIGINAL, True, 8, inverse=True)
    yield Bar("set_data2000", "us", ORIGINAL, True, 20, inverse=True)
    python = [name for name in ALL if name not in (OURS, RAW, ECHO)]
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


BARS = tuple(_table())
