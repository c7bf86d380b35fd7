"""The part of the report that is about recorders."""

from __future__ import annotations

from benchmarks.common.figures import Results
from benchmarks.common.tables import table
from benchmarks.recording.rows import PEERS, ROWS, RecorderRow

FIGURES = {
    "cores": "cores of the recorder",
    "device_cores": "cores of the devices",
    "lost": "share of updates lost",
    "behind_s": "seconds until the file was closed, after the last update",
    "images_per_s": "images published per s",
    "written_mb_s": "MB/s written",
    "peak_mib": "memory of the recorder at most, MiB",
}


def figure_of(row: RecorderRow) -> str:
    """Name of the figure that a row is about."""
    return "cores"


def unit_of(row: RecorderRow, figure: str) -> str:
    """What a report calls a figure of a row."""
    return FIGURES.get(figure, figure)


def tables(results: Results) -> list[str]:
    """Markdown of all rows of recorders there are."""
    rows = [row for row in ROWS if results.get(row.key)]
    if not rows:
        return []
    lines = ["## Recorders", "", *INTRODUCTION.splitlines(), ""]
    for row in rows:
        figures = [(title, row.key, figure) for figure, title in FIGURES.items()]
        lines += table(row.title, results, PEERS, figures)
    return lines


INTRODUCTION = """\
A recorder in a process of its own follows all devices, which are in one other process, from their
first update on, and writes into one file. Images are of a beam with noise, 12 bits in 16."""
