"""What is written down as it happens, in files that outlive the process.

A device notes which requests it carries out and how many updates it has published; a client, how
each of its requests ended. ``settle`` compares the two.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_APPLIED = struct.Struct("<II")  # who asked, number of the request
_PUBLISHED = struct.Struct("<QQ")  # epoch, number of the last update

# How a request ended, a byte each.
ANSWERED = b"a"
NOT_CARRIED_OUT = b"n"  # so its client was told
UNKNOWN = b"u"  # its client was told that nobody knows


class Applied:
    """The requests that a device carries out, one entry each."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def note(self, who: int, number: int) -> None:
        """Append one; it is with the system when this returns."""
        os.write(self._file, _APPLIED.pack(who, number))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


class Published:
    """The number of the last update of a life of the device, in memory shared with a file."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_PUBLISHED.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _PUBLISHED.size)

    def note(self, epoch: int, number: int) -> None:
        """Replace what stands there."""
        _PUBLISHED.pack_into(self._memory, 0, epoch, number)

    @staticmethod
    def read(path: Path) -> tuple[int, int]:
        """Return epoch and number."""
        epoch, number = _PUBLISHED.unpack(path.read_bytes())
        return epoch, number


class Outcomes:
    """How the requests of one client ended, in the order of their numbers from 0."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def note(self, outcome: bytes) -> None:
        """Append that of the next request."""
        self._file.write(outcome)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


@dataclass
class Settled:
    """What became of requests; the last three break a promise."""

    asked: int = 0
    answered: int = 0
    not_carried_out: int = 0
    unknown: int = 0
    lost: int = 0
    """Answered, and never carried out."""
    doubled: int = 0
    """Carried out more than once, each time beyond the first."""
    against_word: int = 0
    """Carried out, though its client was told that it was not."""

    def add(self, other: Settled) -> None:
        """Count those of another client, too."""
        for name, count in vars(other).items():
            setattr(self, name, getattr(self, name) + count)


def applied(paths: Iterable[Path]) -> Counter[tuple[int, int]]:
    """Return how often each request was carried out, in all lives of a device."""
    found: Counter[tuple[int, int]] = Counter()
    for path in paths:
        data = path.read_bytes()
        found.update(_APPLIED.iter_unpack(data[: len(data) // _APPLIED.size * _APPLIED.size]))
    return found


def settle(who: int, outcomes: Path, carried_out: Counter[tuple[int, int]]) -> Settled:
    """Compare what a client was told with what the device did."""
    told = outcomes.read_bytes()
    settled = Settled(
        asked=len(told),
        answered=told.count(ANSWERED),
        not_carried_out=told.count(NOT_CARRIED_OUT),
        unknown=told.count(UNKNOWN),
    )
    for number, byte in enumerate(told):
        times = carried_out[who, number]
        settled.lost += byte == ANSWERED[0] and times == 0
        settled.doubled += max(times - 1, 0)
        settled.against_word += byte == NOT_CARRIED_OUT[0] and times > 0
    return settled
