"""The plot of streams."""

from __future__ import annotations

from benchmarks.common.plots import Compared, Plot

PLOTS = (
    Plot(
        "streams",
        "stream_fan_out",
        (
            Compared("stream_small", "updates_per_s", "small updates/s, 1 subscriber"),
            Compared("stream_copied", "updates_per_s", "1 MiB arrays/s, 1 subscriber"),
            Compared("stream_fan_out", "p99", "p99 in us: 10 kHz to 8 subscribers"),
            Compared("stream_busy", "p99_call_busy", "p99 in us: 1 kHz beside a computing thread"),
        ),
    ),
)
