"""Measures rows in rounds: every peer in turn, one at a time."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.common.figures import Results, median_of, number
from benchmarks.common.suite import AnySuite, Row


def machine(suites: Sequence[AnySuite]) -> dict[str, Any]:
    """What the figures were measured on."""
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    peers = [peer for suite in suites for peer in suite.peers.values()]
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "versions": {peer.name: peer.version() for peer in peers},
    }


def run(
    suites: Sequence[AnySuite],
    chosen: Sequence[tuple[AnySuite, Row]],
    rounds: int,
    seconds: float,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Measure the rows chosen of the suites; returns what the JSON file holds.

    A peer that fails leaves its place empty and says why, unless it is needed; the others go on.
    """
    results: Results = {}
    empty: dict[str, dict[str, str]] = {}
    begin = time.monotonic()
    for place, (suite, row) in enumerate(chosen, 1):
        reasons = {name: suite.peers[name].why_not(row.work) for name in row.peers}
        found = results[row.key] = {name: [] for name, reason in reasons.items() if not reason}
        for _ in range(rounds):
            for name in list(found):
                try:
                    found[name].append(suite.measure(row, name, seconds))
                except Exception as error:
                    if name in suite.needed:
                        raise
                    reasons[name] = f"{type(error).__name__}: {error}"
                    del found[name]
        if any(reasons.values()):
            empty[row.key] = {name: reason for name, reason in reasons.items() if reason}
        passed = time.monotonic() - begin
        tell(f"[{place}/{len(chosen)}, {passed:.0f} s] {_line_of(suite, row, results)}")
    return {
        "when": datetime.now(timezone.utc).date().isoformat(),
        "rounds": rounds,
        "seconds": seconds,
        "machine": machine(suites),
        "results": results,
        "empty": empty,
    }


def _line_of(suite: AnySuite, row: Row, results: Results) -> str:
    """One row, as the terminal shows it."""
    figure = suite.figure_of(row)
    medians = ((name, median_of(results, row.key, name, figure)) for name in results[row.key])
    parts = [f"{name} {number(value)}" for name, value in medians if value is not None]
    return f"{row.title} ({suite.unit_of(row, figure)}): " + " | ".join(parts)
