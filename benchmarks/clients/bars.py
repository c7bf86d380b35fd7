"""The bars of clients."""

from __future__ import annotations

from benchmarks.clients.rows import ASKING_ECHO, PYZMQ
from benchmarks.common.bars import Bar

BARS = (
    Bar("client_get", "per_s", PYZMQ, True, 1.5),
    Bar("client_get", "client_us", PYZMQ, False, 0.6),
    Bar("client_curve", "p50", ASKING_ECHO, False, 1.0),
    Bar("client_strangers", "p99_ratio", "", False, 3.0),
    Bar("client_at_once", "per_s", PYZMQ, True, 1.5),
)
