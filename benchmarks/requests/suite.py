"""The suite of requests, behind the interface."""

from __future__ import annotations

from benchmarks.common.suite import Suite
from benchmarks.requests import tables
from benchmarks.requests.bars import BARS
from benchmarks.requests.measure import KINDS
from benchmarks.requests.plots import PLOTS
from benchmarks.requests.rows import LIMITS, PEERS, ROWS

REQUESTS = Suite(
    peers=PEERS,
    rows=ROWS,
    kinds=KINDS,
    needed=LIMITS,
    short_peers=LIMITS,
    bars=BARS,
    plots=PLOTS,
    figure_of=tables.figure_of,
    unit_of=tables.unit_of,
    tables=tables.tables,
    preface=tables.PREFACE,
)
