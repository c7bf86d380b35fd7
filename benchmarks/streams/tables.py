"""The part of the report that is about streams."""

from __future__ import annotations

from benchmarks.common.figures import Figures, Results
from benchmarks.common.tables import cell, table
from benchmarks.streams.rows import PEERS, ROWS, StreamRow

# What each kind of row is about first, and all that a report shows of it.
FIGURES = {
    "through": {"updates_per_s": "updates/s", "lost": "lost"},
    "far": {"mb_per_s": "MB/s", "lost": "lost"},
    "steady": {
        "p50": "p50, us",
        "p99": "p99, us",
        "p50_end": "p50 from the end of the call, us",
        "p99_end": "p99 from the end of the call, us",
        "subscriber_us": "CPU of the subscriber's process an update, us",
        "producer_us": "CPU of the producer's process an update, us",
        "lost": "lost",
    },
    "fan_out": {
        "p50": "p50, us",
        "p99": "p99, us",
        "p99_worst": "p99 of the slowest, us",
        "p50_stopped": "p50 while one is stopped, us",
        "p99_stopped": "p99 while one is stopped, us",
        "p99_ratio": "p99 while one is stopped by p99 before",
        "lost": "lost by the others",
        "lost_stopped": "lost by the one stopped",
        "memory_mib": "memory that the producer's process takes meanwhile, MiB",
    },
    "publishing": {
        "p50_0": "p50 without subscribers, us",
        "p99_0": "p99 without, us",
        "p50_1": "p50 with 1, us",
        "p99_1": "p99 with 1, us",
        "p50_8": "p50 with 8, us",
        "p99_8": "p99 with 8, us",
        "p50_stopped": "p50 with one of 8 stopped, us",
        "p99_stopped": "p99 with one of 8 stopped, us",
        "p99_8_ratio": "p99 with 8 by p99 with 1",
        "p99_stopped_ratio": "p99 with one of 8 stopped by p99 with 8",
    },
    "busy": {
        "p50": "p50 idle, us",
        "p99": "p99 idle, us",
        "p50_crowded": "p50 beside a computing process, us",
        "p99_crowded": "p99 beside a computing process, us",
        "p50_busy": "p50 beside the thread, us",
        "p99_busy": "p99 beside the thread, us",
        "p99_ratio": "p99 beside the thread by p99 idle",
        "p99_call_busy": "p99 beside the thread from the begin of the call, us",
        "lost": "lost",
    },
    "reads": {
        "p50": "p50 of a quiet server, us",
        "p99": "p99 of a quiet server, us",
        "p50_beside": "p50 beside the stream, us",
        "p99_beside": "p99 beside the stream, us",
        "p99_ratio": "p99 beside the stream by p99 of a quiet server",
        "frames_per_s": "arrays/s meanwhile",
        "lost": "arrays lost",
    },
}


def figure_of(row: StreamRow) -> str:
    """Name of the figure that a row is about."""
    return {"publishing": "p99_8", "reads": "p99_beside"}.get(
        row.kind, next(iter(FIGURES[row.kind]))
    )


def unit_of(row: StreamRow, figure: str) -> str:
    """What a report calls a figure of a row of this kind."""
    return FIGURES[row.kind].get(figure, figure)


def tables(results: Results) -> list[str]:
    """Markdown of all rows of streams there are."""
    rows = [row for row in ROWS if results.get(row.key)]
    if not rows:
        return []
    lines = ["## Streams", "", *INTRODUCTION.splitlines(), ""]
    through = [(row.title, row.key, "updates_per_s") for row in rows if row.kind == "through"]
    if through:
        lines += table("updates/s", results, PEERS, through, with_lost)
    for row in rows:
        if row.kind != "through":
            figures = [(title, row.key, figure) for figure, title in FIGURES[row.kind].items()]
            lines += table(row.title, results, PEERS, figures)
    return lines


def with_lost(found: list[Figures], figure: str) -> str:
    """The cell, and how many updates were lost, if any were."""
    lost = max((each["lost"] or 0 for each in found), default=0)
    return cell(found, figure) + (f" (up to {lost:,.0f} lost)" if lost else "")


INTRODUCTION = """\
One producer, subscribers in processes of their own. An update is `{"x": 0.5, "shot": 1}`; one with
an array has a fresh 1 MiB of float64 beside it. Every subscriber looks at every update: the next
number, the right value, the right sum of the array. Rates go from the first call of `publish` to
the receipt of the last update and count what was received. *native PUB/SUB* is the limit: compiled,
over the same libzmq, one message for each update.

In the table of updates/s nobody may lose anything (our policy "block", `XPUB_NODROP`, bounded
queues in gRPC); p4p has no such way, and what its queue had no room for is counted. "Copied":
publishing copies the array, receiving does not. "Given away": nobody copies. Elsewhere producers do
not wait: ours has its default history, ZeroMQ its default high-water marks.

Over CURVE, every peer encrypts and decrypts by the same libsodium. *libsodium alone* is one thread
that makes a box of each array (`crypto_box_easy_afternm`) and writes it to a socket, and one that
reads, opens and sums it: no queue, nothing at the same time.

The long path is a proxy in a process of its own, which hands on what it got 15 ms later, in either
direction, and has as much on its way as 1 GB/s send in that time. It takes from the cores, too.

Latency counts from the begin of `publish`; beside a computing thread from its end, since the call
itself has to wait for the interpreter there. What is there before the call returns has taken
nothing then, so peers whose calls let go of the interpreter seem quick: the last line of that table
counts from the begin. A computing process instead of the thread takes as much of a core, but not
the interpreter. "In real time" the native threads of the producer (`real_time=True`) and the whole
process of the subscriber (as with `chrt --rr 1`) come before whatever computes. The bars of
`publish` compare with one subscriber, not with none: without any there is nobody to wake."""
