"""The command line of the scenarios."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

from reliability.chaos import SCENARIOS
from reliability.common import report
from reliability.common.arguments import above_zero, add_names, folder
from reliability.common.resources import allow_descriptors
from reliability.common.scenario import Options, Row, run
from reliability.common.setting import ALL

DESCRIPTORS = 8192


def main(about: str) -> int:
    """Run as the command line says; the first line of ``about`` is its help's."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="tell the scenarios, do nothing")
    parser.add_argument("--only", nargs="+", help="names of scenarios; those that begin so")
    add_names(parser, "--over", [setting.name for setting in ALL], "these settings")
    parser.add_argument(
        "--share", type=above_zero, default=1.0, help="of the times; 0.1 for a look (default: 1)"
    )
    parser.add_argument("--other", default="", help="a Python with another release")
    parser.add_argument(
        "--output",
        type=folder,
        default=Path("reliability-report"),
        help="folder of the report (default: reliability-report)",
    )
    parser.add_argument(
        "--breach",
        default="",
        choices=("lost", "doubled", "order"),
        help="let the witnesses break a promise, to see that it is told",
    )
    options = parser.parse_args()
    chosen = [
        (scenario, setting)
        for scenario in SCENARIOS
        if not options.only or scenario.name.startswith(tuple(options.only))
        for setting in scenario.settings
        if not options.over or setting.name in options.over
    ]
    if not chosen:
        names = ", ".join(scenario.name for scenario in SCENARIOS)
        parser.error(f"no such scenario; there are {names}")
    if options.list:
        for scenario, setting in chosen:
            print(f"{scenario.name} [{setting.name}]: {scenario.tried}, {scenario.times:,} times")
        return 0
    other = release_of(options.other) if options.other else ""
    if other is None:
        parser.error(f"{options.other} has no laplace-server")
    allow_descriptors(DESCRIPTORS)
    rows = []
    for scenario, setting in chosen:
        print(f"{scenario.name} [{setting.name}] ... ", end="", flush=True)
        row = run(scenario, setting, Options(options.share, options.breach, options.other))
        print(verdict(row), flush=True)
        rows.append(row)
        report.write(rows, options.output, other)
    broken = sum(not row.held for row in rows)
    untried = sum(bool(row.not_tried) for row in rows)
    held = len(rows) - broken - untried
    print(f"{held} held, {broken} broken, {untried} not tried; written to {options.output}/")
    return 1 if broken else 0


def release_of(python: str) -> str | None:
    """Return the version of this package that another Python has; None: it has none."""
    script = "from importlib import metadata; print(metadata.version('laplace-server'))"
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        asked = subprocess.run(
            [python, "-c", script], capture_output=True, text=True, env=variables, cwd=os.sep
        )
    except OSError:
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


def verdict(row: Row) -> str:
    """Return what a row says, on a line."""
    if row.not_tried:
        return f"not tried: {row.not_tried}"
    if not row.held:
        return f"BROKEN: {report.faults(row)}"
    return f"held, {row.seconds:.0f} s, {row.found.longest_s:.2f} s without an answer at most"
