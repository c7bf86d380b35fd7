"""The suite of clients, behind the interface."""

from __future__ import annotations

from benchmarks.clients import tables
from benchmarks.clients.bars import BARS
from benchmarks.clients.measure import KINDS
from benchmarks.clients.rows import PEERS, ROWS
from benchmarks.common.bars import OURS
from benchmarks.common.suite import Suite

CLIENTS = Suite(
    peers=PEERS,
    rows=ROWS,
    kinds=KINDS,
    needed=(OURS,),
    short_peers=tuple(PEERS),
    bars=BARS,
    plots=(),
    figure_of=tables.figure_of,
    unit_of=tables.unit_of,
    tables=tables.tables,
)
