"""Measures one row of a stream with one peer once; each of ``KINDS`` returns named figures.

Rates are per second, latencies in microseconds. Every subscriber checks all that it gets, and what
it got and what is missing must be all that was published.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from benchmarks.common.figures import Figures, p50_and_p99_us, percentile_us, ratio
from benchmarks.common.processes import Program, Server, cpu_s, spinning
from benchmarks.requests.load import load
from benchmarks.requests.work import Work
from benchmarks.streams.rows import StreamRow
from benchmarks.streams.streaming import Seen, Streaming, StreamPeer, streaming
from benchmarks.streams.work import IMAGE_SIZE

WARM_UP_S = 0.3
PATIENCE_S = 30.0
USUAL_S = 0.6  # what the longer phases below are meant for; they shrink with the time of a run


def through(peer: StreamPeer, row: StreamRow, seconds: float) -> Figures:
    """Updates that get through to one subscriber, per second, from the first call to the last."""
    count = max(20, round(row.per_s * seconds * peer.share))
    with streaming(peer, row.work) as stream:
        stream.subscribe()
        told = stream.run(count, last=True)
        (seen,) = _all_of(stream)
        return {
            "updates_per_s": seen.received / (seen.at - told["begin"]),
            "published_per_s": count / (told["end"] - told["begin"]),
            "lost": seen.missing,
        }


def far(peer: StreamPeer, row: StreamRow, seconds: float) -> Figures:
    """What gets through over a long path; the first round trips, at which it begins, count."""
    figures = through(peer, row, seconds)
    assert figures["updates_per_s"] is not None
    return {
        "mb_per_s": figures["updates_per_s"] * IMAGE_SIZE * 8 / 1e6,
        "lost": figures["lost"],
    }


def steady(peer: StreamPeer, row: StreamRow, seconds: float) -> Figures:
    """Latency of one subscriber, and what an update costs both processes."""
    with streaming(peer, row.work) as stream:
        stream.subscribe()
        phases = _Phases(stream, row, seconds)
        phases.run(WARM_UP_S)
        producer, subscriber = stream.producer.process, stream.subscribers[0].process
        before = cpu_s(producer), cpu_s(subscriber)
        phase = phases.run(3.0)
        used = cpu_s(producer) - before[0], cpu_s(subscriber) - before[1]
        phases.run(WARM_UP_S, last=True)
        (seen,) = _all_of(stream)
        times = _Times(stream)
        p50, p99 = p50_and_p99_us(times.latencies(phase, [0]))
        ends = numpy.maximum(times.latencies(phase, [0], from_end=True), 0.0)
        p50_end, p99_end = p50_and_p99_us(ends)
        updates = phase["last"] - phase["first"] + 1
        return {
            "p50": p50,
            "p99": p99,
            "p50_end": p50_end,
            "p99_end": p99_end,
            "subscriber_us": 1e6 * used[1] / updates,
            "producer_us": 1e6 * used[0] / updates,
            "lost": seen.missing,
        }


def fan_out(peer: StreamPeer, row: StreamRow, seconds: float) -> Figures:
    """Latency of many subscribers, before and while one of them is stopped for 5 s."""
    with streaming(peer, row.work) as stream:
        stream.subscribe(row.subscribers)
        phases = _Phases(stream, row, seconds)
        phases.run(WARM_UP_S)
        before = phases.run(2.0)
        memory = stream.producer.process.memory_info().rss
        with stopped(stream.subscribers[-1]):
            during = phases.run(5.0)
            memory = stream.producer.process.memory_info().rss - memory
        phases.run(1.0)
        phases.run(WARM_UP_S, last=True)
        *others, slow = _all_of(stream)
        times = _Times(stream)
        running = range(row.subscribers - 1)
        quiet = times.latencies(before, running)
        loud = times.latencies(during, running)
        p50, p99 = p50_and_p99_us(quiet)
        p50_stopped, p99_stopped = p50_and_p99_us(loud)
        each_p99 = [percentile_us(times.latencies(before, [each]), 99) for each in running]
        return {
            "p50": p50,
            "p99": p99,
            "p99_worst": max(each_p99),
            "p50_stopped": p50_stopped,
            "p99_stopped": p99_stopped,
            "p99_ratio": ratio(p99_stopped, p99),
            "lost": sum(each.missing for each in others),
            "lost_stopped": slow.missing,
            "memory_mib": memory / 2**20,
        }


def publishing(peer: StreamPeer, row: StreamRow, seconds: float) -> Figures:
    """The call alone: with no, one, many subscribers, and with one of many stopped."""
    with streaming(peer, row.work) as stream:
        phases = _Phases(stream, row, seconds)
        phases.run(WARM_UP_S)
        found = {"0": phases.run(1.0)}
        stream.subscribe()
        phases.run(WARM_UP_S)
        found["1"] = phases.run(1.0)
        stream.subscribe(row.subscribers - 1)
        phases.run(WARM_UP_S)
        found["8"] = phases.run(1.0)
        with stopped(stream.subscribers[-1]):
            found["stopped"] = phases.run(1.0)
        phases.run(1.0)
        phases.run(WARM_UP_S, last=True)
        _all_of(stream)
        times = _Times(stream)
        figures: Figures = {}
        for name, phase in found.items():
            figures[f"p50_{name}"], figures[f"p99_{name}"] = p50_and_p99_us(times.calls(phase))
        for name, other in (("8", "1"), ("stopped", "8")):
            figures[f"p99_{name}_ratio"] = ratio(figures[f"p99_{name}"], figures[f"p99_{other}"])
        return figures


def busy(peer: StreamPeer, row: StreamRow, seconds: float) -> Figures:
    """Latency from the end of the call on: idle, beside another process, a computing thread."""
    with streaming(peer, row.work) as stream:
        stream.subscribe()
        phases = _Phases(stream, row, seconds)
        phases.run(WARM_UP_S)
        idle = phases.run(1.5)
        with spinning():
            crowded = phases.run(1.5)
        beside = phases.run(1.5, busy=True)
        phases.run(WARM_UP_S, last=True)
        (seen,) = _all_of(stream)
        times = _Times(stream)
        figures: Figures = {}
        for name, phase in (("", idle), ("_crowded", crowded), ("_busy", beside)):
            # An update may be there before the call has got the interpreter back, and returns.
            took = numpy.maximum(times.latencies(phase, [0], from_end=True), 0.0)
            figures[f"p50{name}"], figures[f"p99{name}"] = p50_and_p99_us(took)
        figures["p99_call_busy"] = percentile_us(times.latencies(beside, [0]), 99)
        figures["p99_ratio"] = ratio(figures["p99_busy"], figures["p99"])
        figures["lost"] = seen.missing
        return figures


def reads(peer: StreamPeer, row: StreamRow, seconds: float) -> Figures:
    """Reads by one client, of a quiet server and beside a stream at half of its greatest rate."""
    with streaming(peer, row.work) as stream:
        server = Server(stream.address, stream.producer.process)
        stream.subscribe()
        count = max(100, round(row.per_s * seconds))
        stream.run(count // 4)
        told = stream.run(count)
        greatest = count / (told["end"] - told["begin"])
        quiet = load(server, Work(), seconds=seconds)
        stream.begin(round(greatest * PATIENCE_S), greatest / 2)
        beside = load(server, Work(), seconds=seconds)
        stream.stop()
        told = stream.end()
        stream.run(1, last=True)
        (seen,) = _all_of(stream)
        return {
            "p50": quiet.p50,
            "p99": quiet.p99,
            "p50_beside": beside.p50,
            "p99_beside": beside.p99,
            "p99_ratio": ratio(beside.p99, quiet.p99),
            "frames_per_s": (told["last"] - told["first"]) / (told["end"] - told["begin"]),
            "lost": seen.missing,
        }


class _Phases:
    """Phases at the row's rate, as long as they should be where a run takes the usual time."""

    def __init__(self, stream: Streaming, row: StreamRow, seconds: float) -> None:
        self._stream = stream
        self._rate = row.per_s
        self._part = min(1.0, seconds / USUAL_S)

    def run(self, usual_s: float, *, last: bool = False, busy: bool = False) -> dict[str, Any]:
        count = max(20, round(self._rate * usual_s * self._part))
        told: dict[str, Any] = self._stream.run(count, self._rate, last=last, busy=busy)
        return told


@contextmanager
def stopped(subscriber: Program) -> Iterator[None]:
    """Stop a process meanwhile."""
    os.kill(subscriber.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(subscriber.process.pid, signal.SIGCONT)


def _all_of(stream: Streaming) -> list[Seen]:
    """What the subscribers saw, each to the end: received and missing are all there was for it."""
    found = stream.seen()
    for seen, first in zip(found, stream.firsts, strict=True):
        if seen.received + seen.missing != stream.last - first + 1:
            raise RuntimeError(f"{seen} does not add up to {stream.last - first + 1} updates")
    return found


class _Times:
    """When the updates were published, and when they were received."""

    def __init__(self, stream: Streaming) -> None:
        produced = numpy.fromfile(stream.file_of(None))
        self._begins, self._ends = numpy.split(produced, 2)
        self._received = []
        for number in range(len(stream.subscribers)):
            count = stream.file_of(number).stat().st_size // 16
            shots = numpy.fromfile(stream.file_of(number), "i8", count)
            self._received.append((shots, numpy.fromfile(stream.file_of(number), offset=8 * count)))

    def calls(self, phase: dict[str, Any]) -> Any:
        """Return how long the calls of a phase took, s."""
        calls = slice(phase["first"] - 1, phase["last"])
        return self._ends[calls] - self._begins[calls]

    def latencies(self, phase: dict[str, Any], of: Any, from_end: bool = False) -> Any:
        """Return what the updates of a phase took from the call to these subscribers, s."""
        since = self._ends if from_end else self._begins
        found = []
        for number in of:
            shots, times = self._received[number]
            chosen = (shots >= phase["first"]) & (shots <= phase["last"])
            found.append(times[chosen] - since[shots[chosen] - 1])
        return numpy.concatenate(found)


KINDS: dict[str, Callable[[StreamPeer, StreamRow, float], Figures]] = {
    "through": through,
    "far": far,
    "steady": steady,
    "fan_out": fan_out,
    "publishing": publishing,
    "busy": busy,
    "reads": reads,
}
