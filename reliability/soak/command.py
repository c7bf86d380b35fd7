"""The command line of the soak."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from reliability.common.arguments import above_zero, add_names, folder
from reliability.common.resources import allow_descriptors
from reliability.soak import report
from reliability.soak.load import PARTS, soak

DESCRIPTORS = 8192


def main(about: str) -> int:
    """Run as the command line says; the first line of ``about`` is its help's."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--minutes", type=above_zero, default=30.0, help="how long (default: 30)")
    parser.add_argument("--seed", type=int, default=1, help="chooses what is done, and when")
    parser.add_argument(
        "--output",
        type=folder,
        default=Path("soak-report"),
        help="folder of the report (default: soak-report)",
    )
    add_names(parser, "--only", [part.name for part in PARTS], "these servers")
    options = parser.parse_args()
    allow_descriptors(DESCRIPTORS)
    parts = [part for part in PARTS if not options.only or part.name in options.only]
    with tempfile.TemporaryDirectory(prefix="soak-") as work:
        soaked = soak(
            parts,
            options.minutes * 60,
            options.seed,
            Path(work),
            lambda text: print(text, flush=True),
        )
    report.write(soaked, options.minutes, options.seed, options.output)
    for leak in soaked.leaks:
        print(f"not flat: {leak}")
    print(report.late(soaked))
    print(f"{'held' if soaked.held else 'BROKEN'}; written to {options.output}/")
    return 0 if soaked.held else 1
