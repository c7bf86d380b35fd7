"""The part of the report that is about clients."""

from __future__ import annotations

from benchmarks.clients.rows import PEERS, ROWS, ClientRow
from benchmarks.common.figures import Results
from benchmarks.common.tables import table

# What each kind of row is about first, and all that a report shows of it.
FIGURES = {
    "asking": {
        "per_s": "answers per s",
        "p50": "p50, us",
        "p99": "p99, us",
        "client_us": "CPU of the client's process an answer, us",
    },
    "beside_strangers": {
        "p99_ratio": "p99 beside the strangers by p99 without",
        "p50": "p50 without, us",
        "p99": "p99 without, us",
        "p50_beside": "p50 beside the strangers, us",
        "p99_beside": "p99 beside the strangers, us",
        "refused_per_s": "strangers refused per s",
    },
}


def figure_of(row: ClientRow) -> str:
    """Name of the figure that a row is about."""
    return next(iter(FIGURES[row.kind]))


def unit_of(row: ClientRow, figure: str) -> str:
    """What a report calls a figure of a row of this kind."""
    return FIGURES[row.kind].get(figure, figure)


def tables(results: Results) -> list[str]:
    """Markdown of all rows of clients there are."""
    rows = [row for row in ROWS if results.get(row.key)]
    if not rows:
        return []
    lines = ["## Clients", "", *INTRODUCTION.splitlines(), ""]
    for row in rows:
        figures = [(title, row.key, figure) for figure, title in FIGURES[row.kind].items()]
        lines += table(row.title, results, PEERS, figures)
    return lines


INTRODUCTION = """\
One client in a process of its own asks our server (`spin_us=0`), and looks at every answer. Plain
pyzmq has a REQ socket; with asyncio (`zmq.asyncio`), one for each of the requests that are under
way at once, and the times are those of all of them together. Over CURVE, the same client also asks
what answers with the same bytes over libzmq, compiled (*of libzmq's echo*). A stranger goes through
the whole handshake with a key that the server does not know, is refused, and leaves."""
