"""EPICS pvAccess with p4p: a SharedPV that is posted to, monitors in the subscribers.

A server never waits for a monitor: updates beyond the queue that it asked for replace one another.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from p4p import Type, Value  # type: ignore[import-untyped]
from p4p.server.thread import SharedPV  # type: ignore[import-untyped]

from benchmarks.common import pvaccess
from benchmarks.streams.work import STREAM, Producer, StreamWork, Take, queue_length

REQUIREMENT = pvaccess.REQUIREMENT
CANNOT = {"given": "an array given to a Value is copied"}

REPEATS = True  # a monitor tells a value, and under load tells it again

FIELDS = [("x", "d"), ("shot", "l")]


class PvProducer(Producer):
    """The server."""

    def __init__(self, work: StreamWork) -> None:
        self._type = Type(FIELDS + [("image", "ad")] * work.images)
        self._pv = SharedPV(initial=Value(self._type, {"x": 0.0, "shot": 0}))
        self._server, self.address = pvaccess.serve({STREAM: self._pv})

    def publish(self, data: dict[str, Any]) -> None:
        if "image" in data:
            data["image"] = data["image"].reshape(-1)  # it takes one dimension
        self._pv.post(Value(self._type, data))

    def subscribers(self) -> int:
        return sys.maxsize  # they are ready when they have got the PV's value


def produce(work: StreamWork) -> PvProducer:
    """Start the server."""
    return PvProducer(work)


def subscribe(address: str, work: StreamWork, ready: Callable[[], None], take: Take) -> int | None:
    """Take what a monitor gets, in its callback, to the end; nobody tells of losses."""
    faults: list[BaseException] = []
    is_ready, over = threading.Event(), threading.Event()

    def got(value: Any) -> None:
        try:
            if not is_ready.is_set():  # the value that was there already
                ready()
                is_ready.set()
            elif not over.is_set() and take((value,)):
                over.set()
        except BaseException as fault:
            faults.append(fault)
            over.set()

    request = f"record[queueSize={queue_length(work)}]"
    with pvaccess.context(address).monitor(STREAM, got, request=request):
        over.wait()
    if faults:
        raise faults[0]
    return None
