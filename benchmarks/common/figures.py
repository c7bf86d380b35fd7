"""Figures of runs, and the statistics over them."""

from __future__ import annotations

import statistics
from typing import Any

import numpy

# What one run of one peer gives, by name. None: it has no such figure.
Figures = dict[str, float | None]

# results[row][peer] is a list with the figures of each round.
Results = dict[str, dict[str, list[Figures]]]


def values_of(found: list[Figures], figure: str) -> list[float]:
    """Return the figure of each round that has it."""
    return [value for each in found if (value := each.get(figure)) is not None]


def median_of(results: Results, row: str, peer: str, figure: str) -> float | None:
    """Median over the rounds; None where there is none."""
    values = values_of(results.get(row, {}).get(peer, []), figure)
    return statistics.median(values) if values else None


def ratio(figure: float | None, other: float | None) -> float | None:
    """None where the other has taken nothing, as on one core, where calls return late."""
    return figure / other if figure is not None and other else None


def percentile_us(seconds: Any, percent: float) -> float:
    """That percentile of times in s, in us."""
    return 1e6 * float(numpy.percentile(seconds, percent))


def p50_and_p99_us(seconds: Any) -> tuple[float, float]:
    """Both of times in s, in us."""
    return percentile_us(seconds, 50), percentile_us(seconds, 99)


def number(value: float) -> str:
    """Three figures that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
