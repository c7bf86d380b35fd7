"""Times what a device program pays for its data, inside that program.

    python device_costs.py set_data|turns FLOATS SECONDS       prints JSON, in us

``set_data``: the call alone. ``turns``: the call, then a read by a client in the same program.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import zmq
from peers.work import free_port, values

GET = {"from": "bench", "to": "device", "cmd": "GET", "payload": {}, "version": "0.2.2"}
REQUEST = json.dumps({**GET, "error_msg": None, "msg": None}).encode()


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


def main() -> None:
    """Run as the command line says."""
    kind, floats, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    import laplace_server
    from laplace_server import ServerLHC

    is_original = not hasattr(laplace_server, "errors")
    address = f"tcp://127.0.0.1:{free_port()}"
    server = ServerLHC("device", address, 1, "CAMERA", {})
    server.daemon = True
    server.start()
    sets = [values(floats, turn) for turn in range(8)]

    def plain(turn: int) -> None:
        server.set_data({"values": sets[turn % 8][:]})

    def copied(turn: int) -> None:
        server.set_data({"values": sets[turn % 8]}, copy=True)

    figures: dict[str, float] = {}
    if kind == "set_data":
        figures["plain_us"] = per_call_us(plain, seconds)
        figures["us"] = figures["plain_us"] if is_original else per_call_us(copied, seconds)
    else:
        socket = zmq.Context.instance().socket(zmq.REQ)
        socket.rcvtimeo = 5000
        socket.connect(address)

        def turn_with(publish: Callable[[int], None]) -> Callable[[int], None]:
            def both(turn: int) -> None:
                publish(turn)
                socket.send(REQUEST)
                reply = socket.recv()
                if turn % 100 == 0:
                    check(json.loads(reply), sets[turn % 8])

            return both

        figures["plain_us"] = per_call_us(turn_with(plain), seconds)
        copying = plain if is_original else copied
        figures["us"] = per_call_us(turn_with(copying), seconds)
    print(json.dumps(figures), flush=True)
    os._exit(0)  # the original's stop() can hang


def check(reply: dict[str, Any], expected: list[float]) -> None:
    """Raise RuntimeError unless the reply shows what was published last."""
    if reply["payload"] != {"data": {"values": expected}}:
        raise RuntimeError(f"a wrong reply: {str(reply)[:200]}")


if __name__ == "__main__":
    main()
