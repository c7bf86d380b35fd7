"""How a subscriber makes sure that what it gets is what was published."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.streams.work import END, IMAGE_SIZE, StreamWork, Take


@dataclass
class Checked:
    """Looks at every update that a subscriber gets: right, in order, and how many are missing."""

    work: StreamWork
    expected: int
    """Number of the next update."""
    repeats: bool = False
    """An update may come once more right after itself, and is not counted then."""
    received: int = 0
    missing: int = 0
    at: float = 0.0
    """When the last update came: s of CLOCK_MONOTONIC, which all processes share."""
    shots: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))

    def taker(self) -> Take:
        """Return the quickest function that does what the work takes."""
        if self.work.timed:
            return self._take_timed
        return self._take_images if self.work.images else self._take

    def _take(self, updates: Iterable[dict[str, Any]]) -> bool:
        expected, is_last = self.expected, False
        begun_with = expected - self.missing
        for data in updates:
            shot = data["shot"]
            if shot != expected:
                self._skip(expected, shot)
            if data["x"] != 0.5 * shot:
                is_last = self._is_end(data)
                if is_last:
                    expected = shot + 1
                    break
            expected = shot + 1
        self.expected = expected
        self.received += expected - self.missing - begun_with
        if is_last:
            self.at = time.perf_counter()
        return is_last

    def _take_images(self, updates: Iterable[dict[str, Any]]) -> bool:
        for data in updates:
            shot = data["shot"]
            if float(data["image"].sum()) != IMAGE_SIZE * (shot % 1000):
                raise ValueError(f"the image of shot {shot} is wrong")
            if self._take((data,)):
                return True
        return False

    def _take_timed(self, updates: Iterable[dict[str, Any]]) -> bool:
        clock, take = time.perf_counter, self._take_images if self.work.images else self._take
        for data in updates:
            self.times.append(clock())
            self.shots.append(data["shot"])
            if take((data,)):
                return True
        return False

    def _skip(self, expected: int, shot: int) -> None:
        if self.repeats and shot == expected - 1:
            return
        if shot < expected:
            raise ValueError(f"shot {shot} came after shot {expected - 1}")
        self.missing += shot - expected

    def _is_end(self, data: dict[str, Any]) -> bool:
        if data["x"] != END:
            raise ValueError(f"a wrong update: {data}")
        return True
