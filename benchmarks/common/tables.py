"""Tables of figures in Markdown, for the suites' parts of the report."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable

from benchmarks.common.figures import Figures, Results, number, values_of

# Title of a line, key of its row, name of its figure.
Line = tuple[str, str, str]


def cell(found: list[Figures], figure: str) -> str:
    """Median over the rounds; "" where nothing was measured, "-" where it has no such figure."""
    values = values_of(found, figure)
    return number(statistics.median(values)) if values else "-" if found else ""


def table(
    title: str,
    results: Results,
    peers: Iterable[str],
    lines: list[Line],
    write: Callable[[list[Figures], str], str] = cell,
) -> list[str]:
    """One line for each of ``lines``, one column for each peer that has figures of any."""
    names = [name for name in peers if any(results[row].get(name) for _, row, _ in lines)]
    table = [f"| {title} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for line, row, figure in lines:
        cells = [write(results[row].get(name, []), figure) for name in names]
        table.append(f"| {line} | {' | '.join(cells)} |")
    return [*table, ""]
