"""The part of the report that is about the relay."""

from __future__ import annotations

from benchmarks.common.figures import Results
from benchmarks.common.tables import table
from benchmarks.relay.rows import PEERS, ROWS, RelayRow

_CPU = {
    "relay_us": "CPU of the relay an update, us",
    "nats_us": "CPU of NATS an update, us",
}
# What each kind of row is about first, and all that a report shows of it.
FIGURES = {
    "flood": {
        "updates_per_s": "updates per s",
        "mb_per_s": "MB per s",
        **_CPU,
        "relay_cores": "cores that the relay uses",
        "nats_cores": "cores that NATS uses",
    },
    "paced": {
        "p50_added_ms": "p50 added to that of the server's own subscribers, ms",
        "p50_ms": "p50 from publishing to who follows out of NATS, ms",
        "p99_ms": "p99 of the same, ms",
        "updates_per_s": "updates per s",
        **_CPU,
    },
}


def figure_of(row: RelayRow) -> str:
    """Name of the figure that a row is about."""
    return next(iter(FIGURES[row.kind]))


def unit_of(row: RelayRow, figure: str) -> str:
    """What a report calls a figure of a row of this kind."""
    return FIGURES[row.kind].get(figure, figure)


def tables(results: Results) -> list[str]:
    """Markdown of all rows of the relay there are."""
    rows = [row for row in ROWS if results.get(row.key)]
    if not rows:
        return []
    lines = ["## Relay to NATS JetStream", "", *INTRODUCTION.splitlines(), ""]
    for row in rows:
        figures = [(title, row.key, figure) for figure, title in FIGURES[row.kind].items()]
        lines += table(row.title, results, PEERS, figures)
    return lines


INTRODUCTION = """\
A device, the relay, one NATS server and, at 1 kHz, who follows out of NATS are a process each, on
one machine. Where it floods, the device publishes as fast as the relay stores (policy "block").
NATS writes into the folder of temporary files, to the disk every two minutes or (*sync_interval:
always*) before it confirms."""
