"""What a recorder tells of itself."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class StreamStats(NamedTuple):
    """What became of one stream."""

    server: str
    """Its name, or address where it has told none."""
    stream: str
    address: str
    updates: int
    """Those that were handed to the file."""
    bytes: int
    """About so many bytes of memory they took."""
    lost: int
    trouble: str | None
    """Why it is not followed at the moment; None: it is."""


class RecorderStats(NamedTuple):
    """What a recorder is doing."""

    path: Path
    """The file that is written."""
    files: int
    written: int
    """Bytes of all files that it has made."""
    free: int | None
    """Bytes that are free on the disk."""
    held: int
    """Bytes of memory that wait to be written."""
    paused: str | None
    """Why nothing is written at the moment; None: it is."""
    troubles: dict[str, str]
    """Why a server does not tell which streams it has, by its address."""
    streams: list[StreamStats]
    unwritten: int = 0
    """Updates of those in ``streams`` that are not on the disk yet; at the end, never."""
