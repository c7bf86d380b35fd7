"""One of the compared servers, or clients of it, as a process of its own; ``main`` runs it.

    serve PEER WORK                             prints its address; ends with its standard input
    load PEER WORK ADDRESS THREADS SECONDS      prints "ready", waits for a line, asks, and prints
                                                what the clients saw, as JSON

PEER is a module of ``peers``, WORK a JSON object with the fields of ``Work``. Clients are in
lockstep, one per thread. The first answer and every hundredth are compared value by value, all
others by their length, before they are counted.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
from typing import Any

from benchmarks.requests.work import Client, Work, values

WARM_UP = 0.1  # of the time


def serve(peer: Any, work: Work) -> None:
    """Serve until standard input closes."""
    print(peer.serve(work), flush=True)
    sys.stdin.read()


def is_right(answer: Any, work: Work) -> bool:
    """Tell whether an answer is one of what the server publishes."""
    if work.command:
        return answer is True
    expected = {
        json.dumps(values(work.floats, turn)) for turn in range(8 if work.publish_hz else 1)
    }
    return json.dumps(list(map(float, answer))) in expected


def load(peer: Any, work: Work, address: str, threads: int, seconds: float) -> dict[str, Any]:
    """Request as often as possible from every thread for ``seconds``."""
    took: list[list[float]] = [[] for _ in range(threads)]
    faults: list[BaseException] = []
    totals: list[int] = []
    ready = threading.Barrier(threads + 1)
    go = threading.Event()

    def run(mine: list[float]) -> None:
        try:
            client: Client = peer.client(address, work)
            first = client.request()
            if not is_right(first, work):
                raise ValueError(f"a wrong answer: {first}")
            ready.wait(60)
            go.wait()
            start = time.perf_counter()
            begin, end = start + WARM_UP * seconds, start + (1 + WARM_UP) * seconds
            asked, total = time.perf_counter(), 1
            while asked < end:
                answer = client.request()
                answered = time.perf_counter()
                # All answers must have the right length; one in a hundred is looked at whole.
                if total % 100 == 0 and not is_right(answer, work):
                    raise ValueError(f"a wrong answer: {answer}")
                if not work.command and len(answer) != work.floats:
                    raise ValueError(f"a wrong answer: {answer}")
                total += 1
                if begin <= answered < end:
                    mine.append(answered - asked)
                asked = time.perf_counter()
            totals.append(total)
            client.close()
        except BaseException as fault:
            faults.append(fault)
            ready.abort()

    runners = [threading.Thread(target=run, args=(mine,)) for mine in took]
    for runner in runners:
        runner.start()
    try:
        ready.wait(60)
        print("ready", flush=True)
        sys.stdin.readline()
    except threading.BrokenBarrierError:
        pass  # a thread has failed
    go.set()
    for runner in runners:
        runner.join()
    if faults:
        raise faults[0]
    return {"total": sum(totals), "took": [round(each, 8) for mine in took for each in mine]}


def main(action: str, name: str, work_text: str, *rest: str) -> None:
    """Serve, or ask."""
    peer = importlib.import_module(f"benchmarks.requests.peers.{name}")
    work = Work(**json.loads(work_text))
    if action == "serve":
        serve(peer, work)
    else:
        address, threads, seconds = rest
        print(json.dumps(load(peer, work, address, int(threads), float(seconds))), flush=True)
