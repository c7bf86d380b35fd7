"""The suite of streams, behind the interface."""

from __future__ import annotations

from benchmarks.common.bars import OURS
from benchmarks.common.suite import Suite
from benchmarks.streams import tables
from benchmarks.streams.bars import BARS
from benchmarks.streams.measure import KINDS
from benchmarks.streams.plots import PLOTS
from benchmarks.streams.rows import PEERS, PYZMQ, ROWS
from benchmarks.streams.streaming import NATIVE

STREAMS = Suite(
    peers=PEERS,
    rows=ROWS,
    kinds=KINDS,
    needed=(OURS, NATIVE),
    short_peers=(OURS, NATIVE, PYZMQ),
    bars=BARS,
    plots=PLOTS,
    figure_of=tables.figure_of,
    unit_of=tables.unit_of,
    tables=tables.tables,
)
