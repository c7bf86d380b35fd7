"""Times what a device program pays for its data, inside that program.

    set_data|turns FLOATS SECONDS       prints JSON, in us

``set_data``: the call alone. ``turns``: the call, then a read by a client in the same program.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import zmq

from benchmarks.common.programs import free_port
from benchmarks.requests.peers.laplace import is_original, settings
from benchmarks.requests.work import Work, request_of, values


def per_call_us(call: Callable[[int], object], seconds: float) -> float:
    """Median over the batches of the time of one call."""
    batches = []
    turn, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        for _ in range(50):
            call(turn)
            turn += 1
        batches.append((time.perf_counter() - begin) / 50)
    return 1e6 * statistics.median(batches)


def main(kind: str, floats_text: str, seconds_text: str) -> None:
    """Time one of the two."""
    floats, seconds = int(floats_text), float(seconds_text)
    from laplace_server import ServerLHC

    address = f"tcp://127.0.0.1:{free_port()}"
    server = ServerLHC("device", address, 1, "CAMERA", {}, **settings())
    server.daemon = True
    server.start()
    sets = [values(floats, turn) for turn in range(8)]

    def plain(turn: int) -> None:
        server.set_data({"values": sets[turn % 8][:]})

    def copied(turn: int) -> None:
        server.set_data({"values": sets[turn % 8]}, copy=True)

    def in_turn(publish: Callable[[int], None]) -> Callable[[int], None]:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        socket.rcvtimeo = 5000
        socket.connect(address)
        request = request_of(Work())

        def both(turn: int) -> None:
            publish(turn)
            socket.send(request)
            reply = socket.recv()
            if turn % 100 == 0:
                check(json.loads(reply), sets[turn % 8])

        return both

    wrap = in_turn if kind == "turns" else lambda publish: publish
    figures = {"plain_us": per_call_us(wrap(plain), seconds)}
    if is_original() and kind == "set_data":
        figures["us"] = figures["plain_us"]
    else:
        figures["us"] = per_call_us(wrap(plain if is_original() else copied), seconds)
    print(json.dumps(figures), flush=True)


def check(reply: dict[str, Any], expected: list[float]) -> None:
    """Raise RuntimeError unless the reply shows what was published last."""
    if reply["payload"] != {"data": {"values": expected}}:
        raise RuntimeError(f"a wrong reply: {str(reply)[:200]}")
