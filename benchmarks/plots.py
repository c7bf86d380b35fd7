"""The plots of the report."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter
from rows import ECHO, GROWTH, ORIGINAL, OURS

COLOURS = {OURS: "#c1440e", ORIGINAL: "#4c78a8", ECHO: "#999999"}
OTHERS = "#b8c4cc"


def _median(measured: dict[str, Any], row: str, peer: str, figure: str) -> float | None:
    found = measured["results"].get(row, {}).get(peer)
    values = [each[figure] for each in found or [] if each.get(figure) is not None]
    return statistics.median(values) if values else None


def _colour(peer: str) -> str:
    return COLOURS.get(peer, OTHERS)


def _horizontal(axes: Axes, measured: dict[str, Any], row: str, figure: str, title: str) -> None:
    names = measured["results"].get(row, {})
    found = [(name, _median(measured, row, name, figure)) for name in names]
    is_rate = figure in ("per_s", "updates_per_s")
    shown = sorted(((v, n) for n, v in found if v is not None), reverse=not is_rate)
    axes.barh([n for _, n in shown], [v for v, _ in shown], color=[_colour(n) for _, n in shown])
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())  # the figures stand at the bars
    for place, (value, _) in enumerate(shown):
        axes.text(value, place, f" {value:,.0f}", va="center", fontsize=8)
    axes.margins(x=0.2)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _reads(measured: dict[str, Any], path: Path) -> None:
    figure, grid = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    _horizontal(grid[0][0], measured, "read2x1", "per_s", "reads/s, 1 client")
    _horizontal(
        grid[0][1], measured, "busyx1", "per_s", "reads/s beside a computing thread, 1 client"
    )
    _horizontal(grid[1][0], measured, "read2x8", "per_s", "reads/s, 8 clients")
    _horizontal(grid[1][1], measured, "read2000x1", "per_s", "reads/s of 2,000 floats, 1 client")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _latency(measured: dict[str, Any], path: Path) -> None:
    figure, grid = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    cases = (
        ("read2x1", "read, 1 client, idle"),
        ("busyx1", "read beside a computing thread"),
        ("commandx1", "command with a callback"),
    )
    for axes, (row, title) in zip(grid, cases, strict=True):
        _horizontal(axes, measured, row, "p99", f"p99 in us: {title}")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _growth(measured: dict[str, Any], path: Path) -> None:
    figure, grid = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    axes_of = (
        ("clients", [(n, f"read2x{n}") for n in (1, 8, 64, 512)]),
        (
            "floats in the reply",
            [
                (n, f"read{n}x1" if n in (2, 2000) else f"floats{n}")
                for n in (2, 20, 200, 2000, 20_000, 200_000)
            ],
        ),
        ("bytes in the request", [(n, f"pad{n}") for n in (100, 1000, 10_000, 100_000, 1_000_000)]),
    )
    styles = dict(zip(GROWTH, ("o-", "s-", "^--", "v-"), strict=True))
    for axes, (label, points) in zip(grid, axes_of, strict=True):
        for name in GROWTH:
            found = [(x, _median(measured, row, name, "per_s")) for x, row in points]
            line = [(x, y) for x, y in found if y is not None]
            if line:
                axes.plot(
                    *zip(*line, strict=True),
                    styles[name],
                    label=name,
                    color=_colour(name) if name in COLOURS else "#59a14f",
                )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(label)
        axes.set_ylabel("reads/s")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _streams(measured: dict[str, Any], path: Path) -> None:
    figure, grid = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    cases = (
        ("stream_small", "updates_per_s", "small updates/s, 1 subscriber"),
        ("stream_copied", "updates_per_s", "1 MiB arrays/s, 1 subscriber"),
        ("stream_fan_out", "p99", "p99 in us: 10 kHz to 8 subscribers"),
        ("stream_busy", "p99_call_busy", "p99 in us: 1 kHz beside a computing thread"),
    )
    for axes, (row, what, title) in zip(grid.flat, cases, strict=True):
        _horizontal(axes, measured, row, what, title)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw(measured: dict[str, Any], folder: Path) -> list[str]:
    """Draw what there are figures for; returns the plots' names."""
    drawn = []
    for name, first_row, plot in (
        ("reads", "read2x1", _reads),
        ("latency", "read2x1", _latency),
        ("growth", "read2x512", _growth),
        ("streams", "stream_fan_out", _streams),
    ):
        if measured["results"].get(first_row):
            plot(measured, folder / f"{name}.png")
            drawn.append(name)
    return drawn
