"""Reads per second of this package and of laplace-server 0.2.0, treated alike.

    python benchmarks/against_original.py [--rounds 5] [--seconds 1.0]

One server is alive at a time, in turn; one client in lockstep (plain pyzmq) reads it and checks
every answer. Each row gives the medians over the rounds and the ratio, with its least and largest
value over the rounds as the noise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import zmq

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from original import original_path  # noqa: E402

ROWS: dict[str, dict[str, Any]] = {
    "GET, idle": {},
    "GET, computing thread": {"busy": True},
    "GET of live data, idle": {"data": "live"},
    "GET of live data, computing thread": {"data": "live", "busy": True},
    "GET of 2,000 floats, idle": {"floats": 2000},
    "SET with callback, idle": {"callback": True, "cmd": "SET"},
}


class Found(NamedTuple):
    per_s: float
    p50_ms: float
    p99_ms: float


@contextmanager
def device(folder: str, settings: dict[str, Any]) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, str(HERE / "device_process.py"), folder, json.dumps(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"tcp://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def message(cmd: str) -> bytes:
    payload = {"positions": [1.0, 2.0]} if cmd == "SET" else {}
    fields = {"from": "bench", "to": "device", "cmd": cmd, "payload": payload, "version": "0.2.2"}
    return json.dumps({**fields, "error_msg": None, "msg": None}).encode()


def lockstep(address: str, cmd: str, seconds: float) -> Found:
    context = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.linger = 0
    socket.rcvtimeo = 5000
    socket.connect(address)
    request = message(cmd)
    socket.send(request)
    first = json.loads(socket.recv())
    assert first["error_msg"] is None, first
    latencies, end = [], perf_counter() + seconds
    while (asked := perf_counter()) < end:
        socket.send(request)
        reply = socket.recv()
        latencies.append(perf_counter() - asked)
        assert json.loads(reply)["payload"] == first["payload"]
    socket.close()
    context.term()
    latencies.sort()
    total = sum(latencies)  # the check of the answer is the client's time, not the server's
    return Found(
        len(latencies) / total,
        1e3 * latencies[len(latencies) // 2],
        1e3 * latencies[len(latencies) * 99 // 100],
    )


def measure(folder: str, settings: dict[str, Any], seconds: float) -> Found:
    with device(folder, settings) as address:
        return lockstep(address, settings.get("cmd", "GET"), seconds)


def slow_callback(folder: str, data: str) -> float:
    """Longest GET (ms) of one client while another one's SET callback takes 2 s."""
    with device(folder, {"callback_s": 2.0, "data": data}) as address:
        context = zmq.Context()
        setter = context.socket(zmq.REQ)
        setter.linger = 0
        setter.connect(address)
        setter.send(message("SET"))
        longest = 0.0
        reader = context.socket(zmq.REQ)
        reader.linger = 0
        reader.rcvtimeo = 5000
        reader.connect(address)
        done = threading.Event()
        while not done.is_set():
            asked = perf_counter()
            reader.send(message("GET"))
            reader.recv()
            longest = max(longest, perf_counter() - asked)
            if setter.poll(5):
                done.set()
        setter.close()
        reader.close()
        context.term()
        return longest * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    original = str(original_path())
    print(f"{'':36}{'0.2.0':>18}{'ours':>18}{'ratio (least, largest)':>28}")
    for name, settings in ROWS.items():
        pairs = []
        for _ in range(options.rounds):
            theirs = measure(original, settings, options.seconds)
            ours = measure("", settings, options.seconds)
            pairs.append((theirs, ours))
        ratios = sorted(ours.per_s / theirs.per_s for theirs, ours in pairs)
        for what, unit in (("per_s", "/s"), ("p50_ms", " ms p50"), ("p99_ms", " ms p99")):
            medians = [statistics.median(getattr(pair[i], what) for pair in pairs) for i in (0, 1)]
            text = f"{name if what == 'per_s' else '':36}"
            for median in medians:
                text += (
                    f"{f'{median:,.0f}{unit}' if what == 'per_s' else f'{median:.3f}{unit}':>18}"
                )
            if what == "per_s":
                spread = f"({ratios[0]:.2f}, {ratios[-1]:.2f})"
                text += f"{statistics.median(ratios):>12.2f} {spread:>15}"
            print(text, flush=True)
    for data in ("frozen", "live"):
        print(f"longest GET beside a 2 s SET callback, {data}: {slow_callback('', data):.1f} ms")


if __name__ == "__main__":
    main()
