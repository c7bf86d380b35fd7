"""The bars of the relay, on two cores."""

from __future__ import annotations

from benchmarks.common.bars import Bar

BARS = (
    Bar("relay_small", "updates_per_s", "", True, 100_000),
    Bar("relay_small", "relay_us", "", False, 10.0),
    Bar("relay_images", "mb_per_s", "", True, 150.0),
    Bar("relay_1khz", "p50_added_ms", "", False, 10.0),
)
