"""What is streamed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

STREAM = "updates"
SHAPE = (256, 512)  # of float64: 1 MiB
IMAGE_SIZE = SHAPE[0] * SHAPE[1]
END = -1.0  # "x" of the last update of all


@dataclass(frozen=True)
class StreamWork:
    """What one producer sends, and what it does about slow subscribers."""

    images: bool = False
    """Each update holds a fresh array of 1 MiB beside its two numbers."""
    given: bool = False
    """The array is given away, nobody has to copy it; else the producer may use it again."""
    waits: bool = False
    """The producer waits for slow subscribers. Else, who is too slow loses updates."""
    timed: bool = False
    """Both ends write down when they had each update."""
    real_time: bool = False
    """The threads that send and the subscribers run in real time, which few systems permit."""
    curve: bool = False
    """All is encrypted, by CURVE."""
    round_trip_s: float = 0.0
    """The subscribers are so far away."""
    spin_us: int = 200
    """How long the server waits for requests without sleeping (matters to laplace-server only)."""
    history_bytes: int = 64 << 20
    """How much of the past the producer's process keeps (matters to laplace-server only)."""


def queue_length(work: StreamWork) -> int:
    """Updates that a peer with queues keeps at each of the two ends, at most.

    1,000 is ZeroMQ's default. (Where the producer waits, ten times that makes plain pyzmq about an
    eighth faster.) Of arrays of 1 MiB, fewer stay in caches better.
    """
    return 32 if work.images else 1000


class Producer(Protocol):
    """The producing end, used by one thread."""

    address: str

    def publish(self, data: dict[str, Any]) -> object:
        """Send an update to all who are there; the dict and its array are given away."""

    def publish_numbers(self, shots: range) -> None:
        """Send updates of two numbers, as a program would that does nothing else."""
        for shot in shots:
            self.publish({"x": 0.5 * shot, "shot": shot})

    def subscribers(self) -> int:
        """Tell how many are there."""


def become_real_time() -> bool:
    """Run this process, and what it starts, before all that computes; False: not permitted."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except (AttributeError, PermissionError):
        return False
    return True


def real_time_permitted() -> bool:
    """Say whether ``become_real_time`` would succeed."""
    permitted = become_real_time()
    if permitted:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return permitted


def update_of(work: StreamWork, shot: int, is_last: bool = False) -> dict[str, Any]:
    """Return the update with this number."""
    data: dict[str, Any] = {"x": END if is_last else 0.5 * shot, "shot": shot}
    if work.images:
        data["image"] = image_of(shot)
    return data


def image_of(shot: int) -> Any:
    """Return a new array; its sum tells whether all of it is the shot's."""
    import numpy

    return numpy.full(SHAPE, float(shot % 1000))


# Takes updates in whatever portions they come, and tells whether the last of all was among them.
Take = Callable[[Iterable[dict[str, Any]]], bool]
