"""The suite of recorders, behind the interface."""

from __future__ import annotations

from benchmarks.common.bars import OURS
from benchmarks.common.suite import Suite
from benchmarks.recording import tables
from benchmarks.recording.bars import BARS
from benchmarks.recording.measure import KINDS
from benchmarks.recording.rows import PEERS, ROWS

RECORDING = Suite(
    peers=PEERS,
    rows=ROWS,
    kinds=KINDS,
    needed=(),
    short_peers=(OURS,),
    bars=BARS,
    plots=(),
    figure_of=tables.figure_of,
    unit_of=tables.unit_of,
    tables=tables.tables,
)
