"""The measuring client of ``demo``: reads one server in lockstep, as fast as it answers.

    python -m laplace_server.cli.measure tcp://127.0.0.1:5555 --key positions --seconds 2

It prints one JSON object: reads, seconds, p50_ms, p99_ms, updates (how many different states of
the device were seen) and bytes (of one answer). Every answer is checked before it counts; the
first wrong one, or 2 s (``--timeout``) without any, ends it with a message and status 1. It is
plain pyzmq and orjson, so that what is measured is the server.
"""

from __future__ import annotations

import argparse
import gc
import sys
from time import perf_counter
from typing import Any

import orjson
import zmq

from laplace_server.protocol import PROTOCOL_VERSION, make_get_request

NAME = "measure"

_WARM_UP_S = 0.1


class WrongAnswer(Exception):
    """An answer that must not be counted; the text says what is wrong with it."""


class Checker:
    """Checks that each answer is a right one: ours, without error, complete, no step back in time.

    ``updates`` counts the states of the device that were seen.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._shape: tuple[int, ...] | None = None
        self._time = -1.0
        self.updates = 0

    def check(self, body: bytes) -> None:
        """Raise WrongAnswer unless ``body`` is what a GET should bring."""
        reply = orjson.loads(body)
        if reply["error_msg"] is not None:
            raise WrongAnswer(reply["error_msg"])
        if reply["to"] != NAME or reply["version"] != PROTOCOL_VERSION or reply["cmd"] != "GET":
            raise WrongAnswer(f"not the answer to this client's GET: {body[:80]!r}")
        data = reply["payload"]["data"]
        shape = _shape(data[self._key])
        if self._shape is None:
            self._shape = shape
        elif shape != self._shape:
            raise WrongAnswer(f"{self._key} has the shape {shape}, before it had {self._shape}")
        if data["time"] < self._time:
            raise WrongAnswer("data older than in the answer before")
        if data["time"] > self._time:
            self._time = data["time"]
            self.updates += 1


def _shape(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not values:
        raise WrongAnswer(f"no list of values: {values!r}")
    return (len(values), *(_shape(values[0]) if isinstance(values[0], list) else ()))


def measure(address: str, key: str, seconds: float, timeout_s: float) -> dict[str, float]:
    """Read the server at ``address`` for ``seconds`` and return what the module says it prints.

    Raises:
        WrongAnswer: an answer was wrong.
        zmq.Again: no answer in time.
    """
    request = orjson.dumps(make_get_request(NAME, address))
    checker = Checker(key)
    context = zmq.Context()
    socket = context.socket(zmq.REQ)
    try:
        socket.linger = 0
        socket.rcvtimeo = int(timeout_s * 1000)
        socket.connect(address)
        _read(socket, request, checker, _WARM_UP_S)
        checker.updates = 0
        start = perf_counter()
        latencies, size = _read(socket, request, checker, seconds)
        elapsed = perf_counter() - start
    finally:
        socket.close()
        context.term()
    latencies.sort()
    return {
        "reads": len(latencies),
        "seconds": elapsed,
        "p50_ms": percentile(latencies, 50) * 1e3,
        "p99_ms": percentile(latencies, 99) * 1e3,
        "updates": checker.updates,
        "bytes": size,
    }


def _read(
    socket: zmq.Socket[bytes], request: bytes, checker: Checker, seconds: float
) -> tuple[list[float], int]:
    """Return the latency of every answer, in seconds, and the size of the last one, in bytes."""
    send, receive, check = socket.send, socket.recv, checker.check
    latencies = []
    end = perf_counter() + seconds
    while True:
        asked = perf_counter()
        send(request)
        body = receive()
        answered = perf_counter()
        check(body)
        latencies.append(answered - asked)
        if answered >= end:
            return latencies, len(body)


def percentile(ordered: list[float], percent: int) -> float:
    """Return the value below which that share of the sorted values lies."""
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


def main() -> int:
    """Run the command line of this module and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m laplace_server.cli.measure")
    parser.add_argument("address", help="tcp://host:port of the server")
    parser.add_argument("--key", required=True, help="the list in the data that must be there")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long to read")
    parser.add_argument("--timeout", type=float, default=2.0, help="how long to wait for one")
    arguments = parser.parse_args()
    # A collection would show up in the 99th percentile; the loop makes no cycles.
    gc.disable()
    try:
        result = measure(arguments.address, arguments.key, arguments.seconds, arguments.timeout)
    except zmq.Again:
        print(f"no answer from {arguments.address} within {arguments.timeout:g} s", file=sys.stderr)
        return 1
    except (WrongAnswer, KeyError, TypeError, ValueError) as error:
        print(f"wrong answer: {error!r}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(orjson.dumps(result).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
