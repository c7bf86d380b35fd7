"""Writes the results for people: the bars, the suites' tables in Markdown, and plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import bars, plots
from benchmarks.common.bars import Bar, Outcome
from benchmarks.common.figures import Results
from benchmarks.common.suite import AnySuite, find

Suites = Sequence[AnySuite]


def outcomes(suites: Suites, results: Results) -> list[Outcome]:
    """Every bar that the results have figures for."""
    return bars.outcomes((bar for suite in suites for bar in suite.bars), results)


def text_of(suites: Suites, bar: Bar) -> str:
    """What a bar compares."""
    suite, row = find(suites, bar.row)
    if not bar.against:
        return f"{row.title}: {suite.unit_of(row, bar.figure)}"
    what = {
        "per_s": "requests/s",
        "updates_per_s": "updates/s",
        "cpu_us": "server CPU a request",
        "us": "times faster" if bar.inverse else "time",
        "p50": "p50",
        "p99": "p99",
    }.get(bar.figure) or suite.unit_of(row, bar.figure)
    return f"{row.title}: {what} against {bar.against}"


def limit_of(bar: Bar) -> str:
    """The bar itself."""
    if bar.limit is None:
        return "none"
    return f"{'at least' if bar.at_least else 'at most'} {bar.limit:g}"


def verdict_on(each: Outcome) -> str:
    """Whether it was met."""
    if each.bar.limit is None:
        return "told"
    return "met" if each.met else "MISSED"


def bars_as_text(suites: Suites, results: Results) -> str:
    """Bars as the terminal shows them."""
    return "\n".join(
        f"{verdict_on(each):6} {text_of(suites, each.bar):88} {limit_of(each.bar):>14}  "
        f"{each.median:8.2f} ({each.least:.2f} to {each.greatest:.2f}; "
        f"{each.missed_rounds} of {each.rounds} miss)"
        for each in outcomes(suites, results)
    )


def _bars(suites: Suites, results: Results) -> list[str]:
    found = outcomes(suites, results)
    limited = [each for each in found if each.bar.limit is not None]
    missed = sum(not each.met for each in limited)
    lines = ["## Bars", "", f"{len(limited) - missed} of {len(limited)} are met, {missed} missed."]
    lines += ["", "| ratio to | bar | median | least to greatest | rounds that miss it | |"]
    lines += ["|---|---|---|---|---|---|"]
    for each in found:
        verdict = verdict_on(each).replace("MISSED", "**missed**")
        lines.append(
            f"| {text_of(suites, each.bar)} | {limit_of(each.bar)} | {each.median:.2f} | "
            f"{each.least:.2f} to {each.greatest:.2f} | {each.missed_rounds} of {each.rounds} | "
            f"{verdict} |"
        )
    return [*lines, ""]


def _empty(suites: Suites, measured: dict[str, Any]) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for key, peers in measured["empty"].items():
        for name, reason in peers.items():
            reasons.setdefault((name, reason), []).append(find(suites, key)[1].title)
    if not reasons:
        return []
    rows = [f"- {name}: {reason} ({'; '.join(of)})" for (name, reason), of in reasons.items()]
    return ["## What is empty, and why", "", *rows, ""]


def _where(measured: dict[str, Any]) -> list[str]:
    machine = measured["machine"]
    return [
        "## Where",
        "",
        f"- {machine['processor']}, {machine['cores']} cores, {machine['system']}",
        f"- Python {machine['python']}; measured on {measured['when']}",
        f"- {measured['rounds']} rounds of {measured['seconds']:g} s each",
        *(f"- {peer}: {version}" for peer, version in machine["versions"].items()),
    ]


def write(suites: Suites, measured: dict[str, Any], folder: Path, name: str) -> None:
    """Write the report into ``folder``: ``name`` with ".md", its plots in a folder ``name``."""
    results: Results = measured["results"]
    colours = {peer.name: peer.colour for suite in suites for peer in suite.peers.values()}
    wanted = [plot for suite in suites for plot in suite.plots]
    lines = ["# Performance", "", *INTRODUCTION.splitlines(), ""]
    for suite in suites:
        if suite.preface:
            lines += [*suite.preface.splitlines(), ""]
    (folder / name).mkdir(parents=True, exist_ok=True)
    drawn = plots.draw(wanted, results, colours, folder / name)
    lines += [f"![{plot}]({name}/{plot}.png)\n" for plot in drawn]
    lines += _bars(suites, results)
    # The last suite has fewest tables, so it comes first.
    for suite in reversed(suites):
        lines += suite.tables(results)
    lines += [*_empty(suites, measured), *_where(measured)]
    (folder / f"{name}.md").write_text("\n".join(lines) + "\n")


INTRODUCTION = """\
`python benchmarks/run.py` measures this: every server in turn does the same work, one alive at a
time, in several rounds. A table shows medians over the rounds. A bar compares two servers *within*
a round, because machines change their mood between rounds; its median counts, and least to
greatest tell how much noise there was. A bar of p50 or p99 is missed where three quarters of the
rounds miss it: where the system puts two threads, on one core or on two, decides about those.
Ratios close to a bar fall on either side of it from run to run, above all on machines that others
use too."""
