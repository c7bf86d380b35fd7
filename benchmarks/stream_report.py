"""The part of the report that is about streams."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from stream_rows import STREAM_PEERS, STREAM_ROWS, StreamRow

# What each kind of row is about first, and all that a report shows of it.
FIGURES = {
    "through": {"updates_per_s": "updates/s", "lost": "lost"},
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


def title_of_figure(row_key: str, figure: str) -> str:
    """What the report calls a figure of a row."""
    row = next(row for row in STREAM_ROWS if row.key == row_key)
    return FIGURES[row.kind].get(figure, figure)


def tables(measured: dict[str, Any], number: Callable[[float], str]) -> list[str]:
    """Markdown of all stream rows there are; ``number`` writes one."""
    rows = [row for row in STREAM_ROWS if measured["results"].get(row.key)]
    if not rows:
        return []
    lines = ["## Streams", "", *INTRODUCTION.splitlines(), ""]
    through = [row for row in rows if row.kind == "through"]
    if through:
        cells = [(row.title, row, "updates_per_s") for row in through]
        lines += _table("updates/s", measured, cells, number)
    for row in rows:
        if row.kind != "through":
            cells = [(title, row, figure) for figure, title in FIGURES[row.kind].items()]
            lines += _table(row.title, measured, cells, number)
    return lines


def _table(
    title: str,
    measured: dict[str, Any],
    lines: list[tuple[str, StreamRow, str]],
    number: Callable[[float], str],
) -> list[str]:
    """One line for each of ``lines``: its title, and a row's figure, of each peer."""
    results = measured["results"]
    names = [n for n in STREAM_PEERS if any(results[row.key].get(n) for _, row, _ in lines)]
    table = [f"| {title} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for line, row, figure in lines:
        cells = [_cell(results[row.key].get(name) or [], figure, number) for name in names]
        table.append(f"| {line} | {' | '.join(cells)} |")
    return [*table, ""]


def _cell(found: list[dict[str, Any]], figure: str, number: Callable[[float], str]) -> str:
    if not found:
        return ""
    values = [value for each in found if (value := each[figure]) is not None]
    text = number(statistics.median(values)) if values else "-"
    lost = max(each.get("lost", 0) for each in found)
    return f"{text} (up to {lost:,.0f} lost)" if lost and figure == "updates_per_s" else text


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

Latency counts from the begin of `publish`; beside a computing thread from its end, since the call
itself has to wait for the interpreter there. What is there before the call returns has taken
nothing then, so peers whose calls let go of the interpreter seem quick: the last line of that table
counts from the begin. A computing process instead of the thread takes as much of a core, but not
the interpreter. "In real time" the native threads of the producer (`real_time=True`) and the whole
process of the subscriber (as with `chrt --rr 1`) come before whatever computes. The bars of
`publish` compare with one subscriber, not with none: without any there is nobody to wake."""
