"""A client as a process of its own; ``main`` runs it.

    PEER ADDRESS AT_ONCE SECONDS CURVE

prints "ready", waits for a line, reads for so long, and prints what it saw, as JSON: how many
answers, the seconds that took, the seconds of CPU, and the time of each round in s.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.requests.work import Work, values

EXPECTED = {"values": values(Work().floats)}


def check(answers: list[Any]) -> None:
    """Raise ValueError where one is wrong."""
    for each in answers:
        if each != EXPECTED:
            raise ValueError(f"a wrong answer: {each}")


class Clock:
    """What the reads take."""

    def __init__(self, seconds: float) -> None:
        print("ready", flush=True)
        sys.stdin.readline()
        self.took: list[float] = []
        self._cpu_s = time.process_time()
        self._begin = self._last = time.perf_counter()
        self._end = self._begin + seconds

    def tick(self) -> bool:
        """Note the end of a round; say whether there is time for another one."""
        now = time.perf_counter()
        self.took.append(now - self._last)
        self._last = now
        return now < self._end

    def told(self, answers: int) -> dict[str, Any]:
        """Return what is printed."""
        cpu_s = time.process_time() - self._cpu_s
        return {
            "answers": answers,
            "seconds": self._last - self._begin,
            "cpu_s": cpu_s,
            "took": self.took,
        }


def ask(peer: Any, address: str, seconds: float, curve: bool) -> dict[str, Any]:
    """Read one after the other."""
    client = peer.Client(address, curve)
    get: Callable[[], Any] = client.get
    check([get()])
    clock = Clock(seconds)
    going = True
    while going:
        answer = get()
        going = clock.tick()
        if answer != EXPECTED:
            check([answer])
    told = clock.told(len(clock.took))
    client.close()
    return told


async def ask_at_once(peer: Any, address: str, at_once: int, seconds: float) -> dict[str, Any]:
    """Read many at once, again and again."""
    client = peer.AsyncClient(address, at_once)
    check(await client.get_all(at_once))
    clock = Clock(seconds)
    going = True
    while going:
        answers = await client.get_all(at_once)
        going = clock.tick()
        check(answers)
    told = clock.told(len(clock.took) * at_once)
    await client.close()
    return told


def main(name: str, address: str, at_once: str, seconds: str, curve: str) -> None:
    """Run as the command line says."""
    peer = importlib.import_module(f"benchmarks.clients.peers.{name}")
    if int(at_once):
        told = asyncio.run(ask_at_once(peer, address, int(at_once), float(seconds)))
    else:
        told = ask(peer, address, float(seconds), curve == "1")
    print(json.dumps(told), flush=True)
