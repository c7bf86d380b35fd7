"""What a process uses, and whether it uses more and more."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from typing import NamedTuple

import psutil

MIB = 1 << 20


class Resources(NamedTuple):
    """Of a process at one moment."""

    memory: int
    """Bytes, resident."""
    threads: int
    descriptors: int

    @classmethod
    def of(cls, process: psutil.Process) -> Resources:
        """Look at a process.

        Raises:
            psutil.Error: it is gone.
        """
        with process.oneshot():
            memory = process.memory_info().rss
            return cls(memory, process.num_threads(), process.num_fds())


def allow_descriptors(count: int) -> int:
    """Let this process, and what it starts, have so many; return how many they may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def growth(times: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much the line of least squares through the values rises in all."""
    count = len(times)
    if count < 2:
        return 0.0
    middle = sum(times) / count
    mean = sum(values) / count
    spread = sum((time - middle) ** 2 for time in times)
    if not spread:
        return 0.0
    pairs = zip(times, values, strict=True)
    slope = sum((time - middle) * (value - mean) for time, value in pairs) / spread
    return slope * (times[-1] - times[0])
