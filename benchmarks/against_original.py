"""Reads per second of this package, of laplace-server 0.2.0 and of a bare echo, treated alike.

    python benchmarks/against_original.py [--rounds 5] [--seconds 1.0]

One server is alive at a time, in turn; one compiled client in lockstep reads it and compares every
answer with the first, which is looked at here. Each row gives medians over the rounds, and the
ratio of reads to those of 0.2.0 with its least and largest value over the rounds as the noise. The
echo (same libzmq, no Python, nothing looked at) is the limit; beside a computing thread it has a
spinning process for company. At last: the longest read while another client's callback takes 2 s.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any

import zmq
from lockstep import HERE, Found, libzmq, lockstep, program

sys.path.insert(0, str(HERE.parent / "tests"))

from original import original_path

ROWS: dict[str, dict[str, Any]] = {
    "GET, idle": {},
    "GET, computing thread": {"busy": True},
    "GET of live data, idle": {"data": "live"},
    "GET of live data, computing thread": {"data": "live", "busy": True},
    "GET of 2,000 floats, idle": {"floats": 2000},
    "SET with callback, idle": {"callback": True, "cmd": "SET"},
}


@contextmanager
def process(*command: str) -> Iterator[str]:
    """Run a server that prints its port and ends with its standard input; gives its address."""
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield f"tcp://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.stdin.close()
        server.wait(10)
        server.stdout.close()


def device(folder: str, settings: dict[str, Any]) -> Any:
    """Serve from the package in ``folder``, or the installed one where that is empty."""
    program_file = str(HERE / "device_process.py")
    return process(sys.executable, program_file, folder, json.dumps(settings))


@contextmanager
def echo(settings: dict[str, Any]) -> Iterator[str]:
    with ExitStack() as stack:
        if settings.get("busy"):
            spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(spinning.wait)
            stack.callback(spinning.kill)
        yield stack.enter_context(process(program("echo"), libzmq()))


def message(cmd: str) -> bytes:
    payload = {"positions": [1.0, 2.0]} if cmd == "SET" else {}
    fields = {"from": "bench", "to": "device", "cmd": cmd, "payload": payload, "version": "0.2.2"}
    return json.dumps({**fields, "error_msg": None, "msg": None}).encode()


def measure(server: Any, settings: dict[str, Any], seconds: float) -> Found:
    with server as address:
        found, reply = lockstep(address, message(settings.get("cmd", "GET")), seconds)
    if reply["error_msg"] is not None:
        raise RuntimeError(f"not an answer to measure: {reply}")
    return found


def longest_read_beside_a_callback(data: str) -> float:
    """Longest GET (ms) of one client while another one's SET callback takes 2 s."""
    with device("", {"callback_s": 2.0, "data": data}) as address, zmq.Context() as context:
        setter, reader = context.socket(zmq.REQ), context.socket(zmq.REQ)
        for socket in (setter, reader):
            socket.linger = 0
            socket.rcvtimeo = 5000
            socket.connect(address)
        setter.send(message("SET"))
        longest = 0.0
        while not setter.poll(5):
            asked = perf_counter()
            reader.send(message("GET"))
            reader.recv()
            longest = max(longest, perf_counter() - asked)
        setter.close()
        reader.close()
    return longest * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    original = str(original_path())
    print(f"{'reads/s (p50, p99 in us)':36}{'0.2.0':>26}{'ours':>26}{'echo':>26}   ours / 0.2.0")
    for name, settings in ROWS.items():
        rounds = [
            (
                measure(device(original, settings), settings, options.seconds),
                measure(device("", settings), settings, options.seconds),
                measure(echo(settings), settings, options.seconds),
            )
            for _ in range(options.rounds)
        ]
        ratios = sorted(ours.per_s / theirs.per_s for theirs, ours, _ in rounds)
        text = f"{name:36}"
        for column in range(3):
            per_s, p50, p99, _ = (
                statistics.median(figures)
                for figures in zip(*(each[column] for each in rounds), strict=True)
            )
            text += f"{per_s:>10,.0f} {f'({p50:,.0f}, {p99:,.0f})':>15}"
        print(
            f"{text}   {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
            flush=True,
        )
    for data in ("frozen", "live"):
        longest = longest_read_beside_a_callback(data)
        print(f"longest GET beside a 2 s SET callback, {data} data: {longest:.1f} ms")


if __name__ == "__main__":
    main()
