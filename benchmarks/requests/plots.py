"""The plots of requests."""

from __future__ import annotations

from benchmarks.common.plots import Compared, Growth, Plot
from benchmarks.requests.rows import GROWTH


def _growth(label: str, *points: tuple[int, str], has_legend: bool = False) -> Growth:
    return Growth(GROWTH, points, "per_s", label, "GET/s", has_legend)


PLOTS = (
    Plot(
        "reads",
        "read2x1",
        (
            Compared("read2x1", "per_s", "GET/s, 1 client"),
            Compared("busyx1", "per_s", "GET/s beside a computing thread, 1 client"),
            Compared("read2x8", "per_s", "GET/s, 8 clients"),
            Compared("read2000x1", "per_s", "GET/s of 2,000 floats, 1 client"),
        ),
    ),
    Plot(
        "latency",
        "read2x1",
        (
            Compared("read2x1", "p99", "p99 in us: GET, 1 client, idle"),
            Compared("busyx1", "p99", "p99 in us: GET beside a computing thread"),
            Compared("commandx1", "p99", "p99 in us: SET with a callback"),
        ),
    ),
    Plot(
        "growth",
        "read2x512",
        (
            _growth("clients", *((n, f"read2x{n}") for n in (1, 8, 64, 512)), has_legend=True),
            _growth(
                "floats in the reply",
                *(
                    (n, f"read{n}x1" if n in (2, 2000) else f"floats{n}")
                    for n in (2, 20, 200, 2000, 20_000, 200_000)
                ),
            ),
            _growth(
                "bytes in the request",
                *((n, f"pad{n}") for n in (100, 1000, 10_000, 100_000, 1_000_000)),
            ),
        ),
    ),
)
