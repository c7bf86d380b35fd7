"""Writes the results for people: tables in Markdown, and plots."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import bars
import plots
import stream_report
from bars import Bar, Outcome
from rows import PEERS, ROWS, Row
from stream_rows import STREAM_ROWS, StreamRow

UNITS = {
    "per_s": "per s",
    "mean": "mean, us",
    "p50": "p50, us",
    "p99": "p99, us",
    "us": "us a call",
    "kib": "KiB",
    "wake_ups_per_s": "wake-ups per s",
    "cpu_us": "us of CPU",
}


def figure_of(row: Row | StreamRow) -> str:
    """Name of the figure that a row is about."""
    if isinstance(row, StreamRow):
        return stream_report.figure_of(row)
    if row.kind == "load":
        return "per_s" if not row.rate else "p50" if row.key != "pause" else "mean"
    return {"memory": "kib", "idle": "wake_ups_per_s"}.get(row.kind, "us")


def number(value: float) -> str:
    """Three figures that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def title_of(key: str) -> str:
    """Title of a row."""
    every: list[Row | StreamRow] = [*ROWS, *STREAM_ROWS]
    return next(row.title for row in every if row.key == key)


def unit_of(row: Row | StreamRow) -> str:
    """What the figure is that a row is about."""
    figure = figure_of(row)
    return stream_report.FIGURES[row.kind][figure] if isinstance(row, StreamRow) else UNITS[figure]


def text_of(bar: Bar) -> str:
    """What a bar compares."""
    if not bar.against:
        return f"{title_of(bar.row)}: {stream_report.title_of_figure(bar.row, bar.figure)}"
    what = {
        "per_s": "requests/s",
        "updates_per_s": "updates/s",
        "cpu_us": "server CPU a request",
        "us": "times faster" if bar.inverse else "time",
    }.get(bar.figure, bar.figure)
    return f"{title_of(bar.row)}: {what} against {bar.against}"


def limit_of(bar: Bar) -> str:
    """The bar itself."""
    return f"{'at least' if bar.at_least else 'at most'} {bar.limit:g}"


def bars_as_text(outcomes: list[Outcome]) -> str:
    """Bars as the terminal shows them."""
    lines = [
        f"{'ok  ' if each.met else 'MISS'} {text_of(each.bar):88} {limit_of(each.bar):>14}  "
        f"{each.median:8.2f} ({each.least:.2f} to {each.greatest:.2f})"
        for each in outcomes
    ]
    return "\n".join(lines)


def _bars_table(outcomes: list[Outcome]) -> list[str]:
    lines = ["| ratio to | bar | median | least to greatest | |", "|---|---|---|---|---|"]
    for each in outcomes:
        met = "met" if each.met else "**missed**"
        lines.append(
            f"| {text_of(each.bar)} | {limit_of(each.bar)} | {each.median:.2f} | "
            f"{each.least:.2f} to {each.greatest:.2f} | {met} |"
        )
    return lines


def _rows_table(measured: dict[str, Any], figure: str, rows: list[Row]) -> list[str]:
    names = [name for name in PEERS if any(name in measured["results"][row.key] for row in rows)]
    lines = [f"| {UNITS[figure]} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for row in rows:
        cells = []
        for name in names:
            found = measured["results"][row.key].get(name)
            values = [each[figure] for each in found or [] if each.get(figure) is not None]
            cells.append(number(statistics.median(values)) if values else "")
        lines.append(f"| {row.title} | {' | '.join(cells)} |")
    return lines


def _empty(measured: dict[str, Any]) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for key, peers in measured["empty"].items():
        for name, reason in peers.items():
            reasons.setdefault((name, reason), []).append(title_of(key))
    return [f"- {name}: {reason} ({'; '.join(rows)})" for (name, reason), rows in reasons.items()]


def _requests(measured: dict[str, Any], load: list[Row]) -> list[str]:
    lines = ["## Requests per second", "", *_rows_table(measured, "per_s", load)]
    for figure, title in (("p50", "Median latency"), ("p99", "Latency, 99th percentile")):
        lines += ["", f"## {title}", "", *_rows_table(measured, figure, load)]
    with_cpu = [row for row in load if not row.work.busy and not row.work.publish_hz]
    lines += ["", "## CPU time of the server's process a request", ""]
    return [*lines, *_rows_table(measured, "cpu_us", with_cpu), ""]


def write(measured: dict[str, Any], folder: Path, name: str) -> None:
    """Write the report into ``folder``: ``name`` with ".md", its plots in a folder ``name``."""
    rows = [row for row in ROWS if row.key in measured["results"]]
    load = [row for row in rows if row.kind == "load"]
    outcomes = bars.outcomes(measured["results"])
    missed = sum(not each.met for each in outcomes)
    machine = measured["machine"]
    lines = ["# Performance", "", *INTRODUCTION.splitlines(), ""]
    lines += [f"![{plot}]({name}/{plot}.png)\n" for plot in plots.draw(measured, folder / name)]
    lines += ["## Bars", ""]
    lines += [f"{len(outcomes) - missed} of {len(outcomes)} are met, {missed} missed.", ""]
    lines += _bars_table(outcomes)
    lines += ["", *stream_report.tables(measured, number)]
    if load:
        lines += _requests(measured, load)
    inside = [row for row in rows if row.kind != "load"]
    if inside:
        lines += ["## Inside the device program, memory, rest", ""]
    for kind in ("us", "kib", "wake_ups_per_s"):
        some = [row for row in inside if figure_of(row) == kind]
        if some:
            lines += [*_rows_table(measured, kind, some), ""]
    empty = _empty(measured)
    if empty:
        lines += ["## What is empty, and why", "", *empty, ""]
    lines += ["## Where", ""]
    lines += [f"- {machine['processor']}, {machine['cores']} cores, {machine['system']}"]
    lines += [f"- Python {machine['python']}; measured on {measured['when']}"]
    lines += [f"- {measured['rounds']} rounds of {measured['seconds']:g} s each"]
    lines += [f"- {peer}: {version}" for peer, version in machine["versions"].items()]
    (folder / f"{name}.md").write_text("\n".join(lines) + "\n")


INTRODUCTION = """\
`python benchmarks/run.py` measures this: every server in turn does the same work, one alive at a
time, in several rounds. A table shows medians over the rounds. A bar compares two servers *within*
a round, because machines change their mood between rounds; its median counts, and least to
greatest tell how much noise there was. Ratios close to a bar fall on either side of it from run to
run, above all on machines that others use too.

How to read it. *0.2.0* is the original laplace-server. *echo* is the limit: a compiled loop over
the same libzmq that looks at nothing and answers with as many bytes. What speaks ZeroMQ is asked by
a compiled load generator over plain TCP that costs every server the same; p4p, pvapy, caproto,
Pyro5, rpyc and grpcio are asked by their own Python clients, one thread each in up to four
processes, so their figures hold the cost of their clients too. "Beside a computing thread" means
that a Python thread computes for ever in the server's own process; the echo, which has no Python,
gets a spinning process for company. In lockstep a client asks again when it has its answer. In an
open loop requests are due at fixed times and timed from then, so a server that stalls pays for all
that waited. The CPU time of a request includes the time in which our loop waits for the next one
without sleeping (`spin_us`), which it does only while requests follow closely."""
