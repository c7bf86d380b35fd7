"""The command line of the benchmarks, and the suites there are."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.clients.suite import CLIENTS
from benchmarks.common import report, rounds
from benchmarks.common.suite import AnySuite, Row
from benchmarks.recording.suite import RECORDING
from benchmarks.relay.suite import RELAY
from benchmarks.requests.suite import REQUESTS
from benchmarks.streams.suite import STREAMS

SUITES: tuple[AnySuite, ...] = (REQUESTS, CLIENTS, STREAMS, RECORDING, RELAY)


def rows_of(suite: AnySuite, options: argparse.Namespace) -> list[Row]:
    """Rows that are wanted of a suite, with the peers that are."""
    rows = [row for row in suite.rows if row.short or not options.short]
    if options.rows:
        rows = [row for row in suite.rows if row.key.startswith(tuple(options.rows))]
    if options.peers or options.short:
        rows = [row.only(options.peers or suite.short_peers) for row in rows]
    return rows


def main(about: str) -> int:
    """Run as the command line says; the first line of ``about`` is its help's."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="few rows and peers, two minutes")
    parser.add_argument("--rounds", type=int, help="default 7; 3 if short")
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
        measured = json.loads(options.again.read_text())
        report.write(SUITES, measured, options.output, options.name)
        return 0
    there_are = {name: None for suite in SUITES for name in suite.peers}
    unknown = set(options.peers or ()) - set(there_are)
    if unknown:
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(there_are)}")
    chosen = [(suite, row) for suite in SUITES for row in rows_of(suite, options)]
    if not chosen:
        keys = (row.key for suite in SUITES for row in suite.rows)
        parser.error(f"no such row; there are {', '.join(keys)}")
    count = options.rounds or (3 if options.short else 7)
    seconds = options.seconds or (0.4 if options.short else 0.6)
    measured = rounds.run(SUITES, chosen, count, seconds, lambda text: print(text, flush=True))
    folder = options.output / options.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(measured) + "\n")
    print()
    print(report.bars_as_text(SUITES, measured["results"]))
    if not options.short:
        report.write(SUITES, measured, options.output, options.name)
    print(f"written to {options.output}/")
    return 0
