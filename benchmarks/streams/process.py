"""A producer or a subscriber of a stream as a process of its own; ``main`` runs it.

    produce PEER WORK FILE
        prints its address, then does one phase after another until its standard input ends
    subscribe PEER WORK FILE ADDRESS FIRST
        prints "ready", receives to the end, and prints what it saw, as JSON

PEER is a module of ``peers``, WORK a JSON object with the fields of ``StreamWork``. A phase is
a line on standard input: COUNT RATE SUBSCRIBERS IS_LAST IS_BUSY. COUNT updates are published, RATE
per second (0: as fast as possible), once SUBSCRIBERS are there, while another Python thread
computes if IS_BUSY; IS_LAST ends the stream. The answer is a line of JSON. FIRST is the number of
the first update that a subscriber will get. The times that a ``timed`` work takes go into FILE.
SIGUSR1 ends a phase with a RATE before its COUNT.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
import threading
import time
from array import array
from pathlib import Path
from typing import Any

from benchmarks.common.programs import compute
from benchmarks.streams.checked import Checked
from benchmarks.streams.work import Producer, StreamWork, become_real_time, update_of

PATIENCE_S = 20.0


class Phases:
    """Publishes, and writes down when."""

    def __init__(self, producer: Producer, work: StreamWork) -> None:
        self._producer = producer
        self._work = work
        self._shot = 0
        self._enough = False
        self.begins = array("d")
        self.ends = array("d")

    def run(self, count: int, rate: float, subscribers: int, is_last: bool, is_busy: bool) -> Any:
        """Do one phase; return its numbers, and when it began and ended."""
        self._wait_for(subscribers)
        over = threading.Event()
        company = threading.Thread(target=compute, args=(over,))
        if is_busy:
            company.start()
        first = self._shot + 1
        shots = range(first, first + count - is_last)
        begin = time.perf_counter()
        try:
            if self._work.timed or rate:
                self._publish_timed(shots, rate)
            elif self._work.images:
                self._publish_images(shots)
            else:
                self._publish(shots)
            if is_last:
                self._shot += 1
                self._producer.publish(update_of(self._work, self._shot, True))
        finally:
            over.set()
        end = time.perf_counter()
        if is_busy:
            company.join()
        return {"first": first, "last": self._shot, "begin": begin, "end": end}

    def stop(self, *_: object) -> None:
        """End the phase."""
        self._enough = True

    def _wait_for(self, subscribers: int) -> None:
        give_up = time.perf_counter() + PATIENCE_S
        while self._producer.subscribers() < subscribers:
            if time.perf_counter() > give_up:
                raise TimeoutError(f"there are not {subscribers} subscribers")
            time.sleep(0.002)

    def _publish(self, shots: range) -> None:
        self._producer.publish_numbers(shots)
        self._shot = shots.stop - 1

    def _publish_images(self, shots: range) -> None:
        for shot in shots:
            self._producer.publish(update_of(self._work, shot))
        self._shot = shots.stop - 1

    def _publish_timed(self, shots: range, rate: float) -> None:
        work, publish, clock = self._work, self._producer.publish, time.perf_counter
        due = clock()
        self._enough = False
        for shot in shots:
            if self._enough:
                break
            data = update_of(work, shot)
            if rate:
                due += 1 / rate
                ahead = due - clock()
                if ahead > 0:
                    time.sleep(ahead)
            begin = clock()
            publish(data)
            end = clock()
            self.begins.append(begin)
            self.ends.append(end)
            self._shot = shot


def prepare(work: StreamWork) -> None:
    """Do what a program that works with arrays has done long before."""
    if work.images:
        importlib.import_module("numpy")


def produce(peer: Any, work: StreamWork, file: Path) -> None:
    """Do what standard input says."""
    prepare(work)
    producer: Producer = peer.produce(work)
    phases = Phases(producer, work)
    signal.signal(signal.SIGUSR1, phases.stop)
    print(producer.address, flush=True)
    for line in sys.stdin:
        count, rate, subscribers, is_last, is_busy = line.split()
        told = phases.run(int(count), float(rate), int(subscribers), is_last == "1", is_busy == "1")
        if work.timed:
            file.write_bytes(phases.begins.tobytes() + phases.ends.tobytes())
        print(json.dumps(told), flush=True)


def subscribe(peer: Any, work: StreamWork, file: Path, address: str, first: int) -> None:
    """Receive all there is."""
    if work.real_time and not become_real_time():
        raise PermissionError("no threads in real time")
    prepare(work)
    checked = Checked(work, first, getattr(peer, "REPEATS", False))

    def ready() -> None:
        print("ready", flush=True)

    told = peer.subscribe(address, work, ready, checked.taker())
    if work.timed:
        file.write_bytes(checked.shots.tobytes() + checked.times.tobytes())
    seen = {"received": checked.received, "missing": checked.missing, "at": checked.at}
    print(json.dumps({**seen, "told": told}), flush=True)


def main(action: str, name: str, work_text: str, file: str, *rest: str) -> None:
    """Produce or subscribe."""
    peer = importlib.import_module(f"benchmarks.streams.peers.{name}")
    work = StreamWork(**json.loads(work_text))
    if action == "produce":
        produce(peer, work, Path(file))
    else:
        address, first = rest
        subscribe(peer, work, Path(file), address, int(first))
