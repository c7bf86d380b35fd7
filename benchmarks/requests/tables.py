"""The part of the report that is about requests."""

from __future__ import annotations

from benchmarks.common.figures import Results
from benchmarks.common.tables import table
from benchmarks.requests.rows import PEERS, ROWS, RequestRow

UNITS = {
    "per_s": "per s",
    "mean": "mean, us",
    "p50": "p50, us",
    "p99": "p99, us",
    "us": "us a call",
    "kib": "KiB",
    "wake_ups_per_s": "wake-ups per s",
    "cpu_us_per_s": "us of CPU per s",
    "connections": "connections",
    "kib_asked": "KiB a connection that has asked once",
    "connect_us": "us of CPU for a connection",
    "p50_alone": "p50 before they are there, us",
    "p50_ratio": "p50 meanwhile by p50 before",
    "cpu_us": "us of CPU",
}

# Figures of rows that have several.
SEVERAL = {
    "crowd": (
        "connections",
        "kib",
        "kib_asked",
        "connect_us",
        "p50_alone",
        "p50",
        "p50_ratio",
    ),
    "idle": ("wake_ups_per_s", "cpu_us_per_s"),
}


def figure_of(row: RequestRow) -> str:
    """Name of the figure that a row is about."""
    if row.kind == "load":
        return "per_s" if not row.rate else "p50" if row.key != "pause" else "mean"
    about = {"memory": "kib", "crowd": "p50_ratio", "idle": "wake_ups_per_s"}
    return about.get(row.kind, "us")


def unit_of(row: RequestRow, figure: str) -> str:
    """What a report calls a figure."""
    if row.kind == "crowd" and figure == "kib":
        return "KiB a connection"
    return UNITS[figure]


def _table(results: Results, figure: str, rows: list[RequestRow]) -> list[str]:
    return table(UNITS[figure], results, PEERS, [(row.title, row.key, figure) for row in rows])


def tables(results: Results) -> list[str]:
    """Markdown of all rows of requests there are."""
    rows = [row for row in ROWS if row.key in results]
    load = [row for row in rows if row.kind == "load"]
    with_cpu = [row for row in load if not row.work.busy and not row.work.publish_hz]
    lines = []
    if load:
        for figure, title, of in (
            ("per_s", "Requests per second", load),
            ("p50", "Median latency", load),
            ("p99", "Latency, 99th percentile", load),
            ("cpu_us", "CPU time of the server's process a request", with_cpu),
        ):
            lines += [f"## {title}", "", *_table(results, figure, of)]
    inside = [row for row in rows if row.kind != "load"]
    if inside:
        lines += ["## Inside the device program, memory, rest", ""]
    for figure in ("us", "kib"):
        some = [row for row in inside if figure_of(row) == figure]
        if some:
            lines += _table(results, figure, some)
    for row in inside:
        if row.kind in SEVERAL:
            shown = [(unit_of(row, figure), row.key, figure) for figure in SEVERAL[row.kind]]
            lines += table(row.title, results, PEERS, shown)
    return lines


PREFACE = """\
How to read it. *raw* is the limit: a compiled loop in one thread over plain TCP that speaks just
enough ZMTP for its clients, looks at nothing, and answers with the same bytes. *echo* is the same
over libzmq. *0.2.0* is the original laplace-server. *laplace-server* waits asleep for requests
(`spin_us=0`); *libzmq* is the same with `transport="libzmq"`; *spinning* is what it does by
default (`spin_us=200`): while requests follow closely it waits for the next one without sleeping,
and the CPU time of a request includes that. What speaks ZeroMQ is asked by a compiled load
generator over plain TCP that costs every server the same; p4p, pvapy, caproto, Pyro5, rpyc and
grpcio are asked by their own Python clients, one thread each in up to four processes, so their
figures hold the cost of their clients too, and a GET is there whatever reads as many numbers.
"Beside a computing thread" means that a Python thread computes for ever in the server's own
process; raw and echo, which have no Python, get a spinning process for company. In lockstep a
client asks again when it has its answer. In an open loop requests are due at fixed times and
timed from then, so a server that stalls pays for all that waited."""
