"""The bars of recorders."""

from __future__ import annotations

from benchmarks.common.bars import Bar

BARS = (
    Bar("record_all", "lost", "", False, 0.0),
    Bar("record_all", "cores", "", False, 1.2),
    Bar("record_small", "cores", "", False, 0.3),
)
