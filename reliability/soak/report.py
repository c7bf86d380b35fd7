"""Writes what came of a soak: JSON, Markdown, and a plot where matplotlib is."""

from __future__ import annotations

import json
from pathlib import Path

from reliability.common.lateness import STARVED_S
from reliability.common.report import machine, starved, table
from reliability.common.resources import MIB, Resources
from reliability.soak.load import Soaked
from reliability.soak.sampling import Series


def write(soaked: Soaked, minutes: float, seed: int, folder: Path) -> None:
    """Write ``soak.json``, ``soak.md`` and ``soak.png`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "machine": machine(),
        "minutes": minutes,
        "seed": seed,
        "held": soaked.held,
        "late_s": soaked.late_s,
        "late_in_all_s": soaked.late_in_all_s,
        "leaks": soaked.leaks,
        "done": soaked.done,
        "rows": [row.plain() for row in soaked.rows],
        "series": {name: vars(series) for name, series in soaked.series.items()},
    }
    (folder / "soak.json").write_text(json.dumps(told) + "\n")
    (folder / "soak.md").write_text(_text(soaked, minutes, seed), encoding="utf-8")
    _draw(soaked.series, folder / "soak.png")


def _text(soaked: Soaked, minutes: float, seed: int) -> str:
    lines = ["# Soak", "", f"{minutes:g} minutes, seed {seed}. {late(soaked)}", ""]
    lines.append(table(soaked.rows))
    lines += ["| process | memory, MiB: grew by | threads | descriptors |", "|---|---|---|---|"]
    lines += [_line(name, series) for name, series in soaked.series.items() if series.times]
    lines += ["", *(f"- **not flat**: {leak}" for leak in soaked.leaks), ""]
    for name, done in soaked.done.items():
        counts = ", ".join(f"{what} {count:,}" for what, count in sorted(done.items()))
        lines.append(f"- {name}: {counts}")
    return "\n".join([*lines, ""])


def late(soaked: Soaked) -> str:
    """Return a sentence on how well the harness itself got to run."""
    if soaked.late_s > STARVED_S:
        word = starved(soaked.late_s)
        return f"{word[0].upper()}{word[1:]}; it was late by {soaked.late_in_all_s:.1f} s in all."
    return (
        f"The harness itself was late by {soaked.late_s:.2f} s at most, "
        f"{soaked.late_in_all_s:.1f} s in all."
    )


def _line(name: str, series: Series) -> str:
    last = series.samples[-1]
    cells = [
        f"{last.memory / MIB:.1f}: {series.grown('memory') / MIB:+.2f}",
        f"{last.threads}: {series.grown('threads'):+g}",
        f"{last.descriptors}: {series.grown('descriptors'):+g}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def _draw(series: dict[str, Series], path: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(Resources._fields), sharex=True, figsize=(9, 9))
    for name, each in series.items():
        for place, resource in zip(axes, Resources._fields, strict=True):
            unit = MIB if resource == "memory" else 1
            values = [getattr(sample, resource) / unit for sample in each.samples]
            place.plot([time / 60 for time in each.times], values, label=name, linewidth=0.8)
            place.set_ylabel("memory, MiB" if resource == "memory" else resource)
    axes[-1].set_xlabel("minutes")
    axes[0].legend(fontsize=6, ncols=2)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
