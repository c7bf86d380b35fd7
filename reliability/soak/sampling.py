"""Looks at processes again and again, and says whether what they use is flat."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType

import psutil

from reliability.common.resources import MIB, Resources, growth

WARM_UP = 0.25
"""Of the time, not counted: histories fill, and the allocator gets what it needs."""
MOST = {"memory": 8 * MIB, "threads": 1, "descriptors": 2}
"""By which a process may have grown after that; more is a leak."""


@dataclass
class Series:
    """Of one process; times in seconds since the beginning."""

    times: list[float] = field(default_factory=list)
    samples: list[Resources] = field(default_factory=list)

    def grown(self, name: str) -> float:
        """Return by how much it grew after the warm-up, in bytes or in number.

        Memory by the line of least squares. Threads and descriptors come and go with peers, so
        the medians of the first and of the last third are compared.
        """
        first = int(len(self.times) * WARM_UP)
        values = [float(getattr(sample, name)) for sample in self.samples[first:]]
        if name == "memory":
            return growth(self.times[first:], values)
        third = len(values) // 3
        if not third:
            return 0.0
        return statistics.median(values[-third:]) - statistics.median(values[:third])


class Sampler(threading.Thread):
    """Samples processes by name, every so many seconds, during a block."""

    def __init__(self, processes: Mapping[str, psutil.Process], interval_s: float) -> None:
        super().__init__(name="sampler")
        self.series = {name: Series() for name in processes}
        self._processes = processes
        self._interval_s = interval_s
        self._over = threading.Event()

    def run(self) -> None:
        """Sample until it is over."""
        begun = time.monotonic()
        while not self._over.wait(self._interval_s):
            for name, process in self._processes.items():
                try:
                    sample = Resources.of(process)
                except psutil.Error:
                    continue  # its ledger will miss it
                self.series[name].times.append(time.monotonic() - begun)
                self.series[name].samples.append(sample)

    def __enter__(self) -> Sampler:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self.join()


def leaks(series: Mapping[str, Series]) -> list[str]:
    """Return in words what is not flat."""
    found = []
    for name, each in series.items():
        for resource, most in MOST.items():
            grown = each.grown(resource)
            if grown > most:
                amount = f"{grown / MIB:.1f} MiB of memory" if most >= MIB else f"{grown:g} "
                found.append(f"{name} grew by {amount}{'' if most >= MIB else resource}")
    return found
