"""Measures this package against laplace-server 0.2.0, a bare echo and what a lab would use instead.

    python benchmarks/run.py            everything: JSON and a report with plots
    python benchmarks/run.py --short    the everyday questions in under two minutes

One server is alive at a time. In every round each peer does the same work in turn, so ratios are
taken within a round, and the medians over the rounds with least and greatest are reported. Rows
whose keys begin with "stream_" are about streams, and have peers of their own (``stream_rows.py``).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import bars
import measure
import report
import stream_measure
from rows import ECHO, ORIGINAL, OURS, PEERS, ROWS, Row
from stream_programs import NATIVE
from stream_rows import STREAM_PEERS, STREAM_ROWS, StreamRow

# Those that have to work; of the others, any may be missing or fail.
NEEDED = (OURS, ORIGINAL, ECHO, NATIVE)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "versions": {name: peer.version() for name, peer in (PEERS | STREAM_PEERS).items()},
    }


def peer_of(row: Row | StreamRow, name: str) -> Any:
    """The peer of that name that does this row's kind of work."""
    peers: dict[str, Any] = STREAM_PEERS if isinstance(row, StreamRow) else PEERS
    return peers[name]


def figures_of(row: Row | StreamRow, name: str, seconds: float) -> dict[str, Any]:
    """Measure a row with a peer once."""
    kinds: dict[str, Any] = stream_measure.KINDS if isinstance(row, StreamRow) else measure.KINDS
    figures: dict[str, Any] = kinds[row.kind](peer_of(row, name), row, seconds)
    return figures


def run(
    rows: list[Row | StreamRow], rounds: int, seconds: float, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Measure the rows; returns what the JSON file holds."""
    results: bars.Results = {}
    empty: dict[str, dict[str, str]] = {}
    begin = time.monotonic()
    for number, row in enumerate(rows, 1):
        peers = []
        for name in row.peers:
            reason = peer_of(row, name).why_not(row.work)
            if reason:
                empty.setdefault(row.key, {})[name] = reason
            else:
                peers.append(name)
        found = results.setdefault(row.key, {name: [] for name in peers})
        for _ in range(rounds):
            for name in list(peers):
                try:
                    found[name].append(figures_of(row, name, seconds))
                except Exception as error:
                    if name in NEEDED:
                        raise
                    # A peer that fails leaves its place empty and says why; the others go on.
                    empty.setdefault(row.key, {})[name] = f"{type(error).__name__}: {error}"
                    del found[name]
                    peers.remove(name)
        tell(f"[{number}/{len(rows)}, {time.monotonic() - begin:.0f} s] {line_of(row, found)}")
    return {
        "when": datetime.now(timezone.utc).date().isoformat(),
        "rounds": rounds,
        "seconds": seconds,
        "machine": machine(),
        "results": results,
        "empty": empty,
    }


def line_of(row: Row | StreamRow, found: dict[str, list[dict[str, Any]]]) -> str:
    """One row, as the terminal shows it."""
    figure = report.figure_of(row)
    parts = [
        f"{name} {report.number(statistics.median(each[figure] for each in figures))}"
        for name, figures in found.items()
        if figures
    ]
    return f"{row.title} ({report.unit_of(row)}): " + " | ".join(parts)


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--short", action="store_true", help="few rows and peers, under two minutes"
    )
    parser.add_argument("--rounds", type=int, help="default 5; 3 if short")
    parser.add_argument("--seconds", type=float, help="measured per run; default 0.6; 0.4 if short")
    parser.add_argument("--rows", nargs="*", help="keys of rows; names that begin so are meant too")
    parser.add_argument("--peers", nargs="*", help="only these")
    parser.add_argument("--again", type=Path, help="write the report of this results.json anew")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmark-report"), help="folder of the report"
    )
    parser.add_argument("--name", default="performance", help="of the report, and of its plots")
    options = parser.parse_args()
    if options.again:
        report.write(json.loads(options.again.read_text()), options.output, options.name)
        return 0
    every: list[Row | StreamRow] = [*ROWS, *STREAM_ROWS]
    rows = [row for row in every if row.short or not options.short]
    if options.rows:
        rows = [row for row in every if row.key.startswith(tuple(options.rows))]
    there_are = PEERS | STREAM_PEERS
    unknown = set(options.peers or ()) - set(there_are)
    if unknown:
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(there_are)}")
    if options.peers or options.short:
        rows = [row.only(options.peers or row.short_peers) for row in rows]
    if not rows:
        parser.error(f"no such row; there are {', '.join(row.key for row in every)}")
    rounds = options.rounds or (3 if options.short else 5)
    seconds = options.seconds or (0.4 if options.short else 0.6)
    measured = run(rows, rounds, seconds, lambda text: print(text, flush=True))
    folder = options.output / options.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(measured) + "\n")
    print()
    print(report.bars_as_text(bars.outcomes(measured["results"])))
    if not options.short:
        report.write(measured, options.output, options.name)
    print(f"written to {options.output}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
