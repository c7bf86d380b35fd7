"""Writes rows for people: JSON, and a table in Markdown."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from reliability.common.resources import MIB, Resources
from reliability.common.scenario import Row

HEADINGS = (
    "what was tried",
    "over",
    "times",
    "requests answered, told as not carried out, unknown",
    "updates received, told as lost, gone with a killed server",
    "lost",
    "doubled",
    "out of order",
    "longest without an answer, s",
    "harness, prober late, s",
    "memory, MiB",
    "threads",
    "descriptors",
    "held",
)


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "laplace-server": metadata.version("laplace-server"),
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def _change(before: Resources | None, after: Resources | None, field: str) -> str:
    if before is None or after is None:
        return ""
    unit = MIB if field == "memory" else 1
    pair = (round(getattr(each, field) / unit) for each in (before, after))
    return " → ".join(map(str, pair))


def _cells(row: Row) -> list[str]:
    begin = [row.tried, row.setting, f"{row.times:,}"]
    if row.not_tried:
        return [*begin, *[""] * 10, f"not tried: {row.not_tried}"]
    found, requests = row.found, row.found.requests
    return [
        *begin,
        f"{requests.answered:,}, {requests.not_carried_out:,}, {requests.unknown:,}",
        f"{found.received:,}, {found.told:,}, {found.unsaid:,}",
        f"{found.lost + requests.lost}",
        f"{found.doubled + requests.doubled}",
        f"{found.out_of_order}",
        f"{found.longest_s:.2f}",
        f"{row.late_s:.2f}, {found.stalled_s:.2f}",
        *(_change(found.before, found.after, name) for name in Resources._fields),
        "yes" if row.held else "**no**: " + faults(row).replace("\n", " "),
    ]


def faults(row: Row) -> str:
    """Return what did not hold, and whether that may be the machine's doing."""
    told = "; ".join(row.found.faults)
    return f"{told} ({starved(row.late_s)})" if told and row.starved else told


def starved(late_s: float) -> str:
    """Return in words that a harness so late is no witness of how long others took."""
    return f"the harness itself did not run for {late_s:.1f} s: to be repeated with less beside it"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *map(_cells, rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def write(rows: Sequence[Row], folder: Path, other: str = "") -> None:
    """Write ``chaos.json`` and ``chaos.md``; ``other``: the version of the other release."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {"machine": machine(), "other": other, "rows": [row.plain() for row in rows]}
    (folder / "chaos.json").write_text(json.dumps(told, indent=1) + "\n")
    (folder / "chaos.md").write_text(f"# Chaos\n\n{table(rows)}", encoding="utf-8")
