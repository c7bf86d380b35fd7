"""The suite of the relay, behind the interface."""

from __future__ import annotations

from benchmarks.common.suite import Suite
from benchmarks.relay import tables
from benchmarks.relay.bars import BARS
from benchmarks.relay.measure import KINDS
from benchmarks.relay.rows import PEERS, ROWS

RELAY = Suite(
    peers=PEERS,
    rows=ROWS,
    kinds=KINDS,
    needed=(),
    short_peers=tuple(PEERS),
    bars=BARS,
    plots=(),
    figure_of=tables.figure_of,
    unit_of=tables.unit_of,
    tables=tables.tables,
)
