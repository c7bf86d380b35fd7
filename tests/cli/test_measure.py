"""The processes that the demo measures with."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from support.command_line import LIMIT_S, nobody

from laplace_server.sim import SimulatedMotor

MEASURE = [sys.executable, "-m", "laplace_server.cli.measure"]


def measure(address: str, key: str) -> subprocess.CompletedProcess[str]:
    command = [*MEASURE, address, "--key", key, "--seconds", "0.3"]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def test_measure_counts_right_answers(motor: SimulatedMotor) -> None:
    done = measure(motor.local_address, "positions")
    assert (done.stderr, done.returncode) == ("", 0)
    found = json.loads(done.stdout)
    assert found["reads"] > 0
    assert found["seconds"] >= 0.3
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert found["updates"] > 0
    assert found["bytes"] > 100


def test_measure_refuses_wrong_answers(motor: SimulatedMotor) -> None:
    done = measure(motor.local_address, "image")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr == "wrong answer: KeyError('image')\n"


def test_measure_gives_up() -> None:
    with nobody() as address:
        done = measure(address, "positions")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr == f"no answer from {address} within 2 s\n"


FOLLOW = [sys.executable, "-m", "laplace_server.cli.measure_stream"]


def test_the_subscriber_measures_and_tells_the_server(make_server: Any) -> None:
    server = make_server()
    told: list[Any] = []
    server.register_handler("FOUND", lambda _, message, __: told.append(message["payload"]))
    server.declare_stream("s")
    subscriber = subprocess.Popen(
        [*FOLLOW, f"tcp://127.0.0.1:{server.server_port}", "--stream", "s"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with subscriber:
        while not server.stats().subscribers:
            assert subscriber.poll() is None
        for n in range(1, 1001):
            server.publish("s", {"shot": n, "end": n == 1000})
        output, _ = subscriber.communicate(timeout=LIMIT_S)
    assert subscriber.returncode == 0
    found = json.loads(output)
    assert told == [found]
    counts = {key: found[key] for key in ("received", "lost", "first", "last")}
    assert counts == {"received": 1000, "lost": 0, "first": 1, "last": 1000}
    assert found["seconds"] > 0
    assert 0 < found["p50_ms"] <= found["p99_ms"]


def test_the_subscriber_refuses_wrong_updates(make_server: Any) -> None:
    server = make_server()
    server.declare_stream("s")
    subscriber = subprocess.Popen(
        [*FOLLOW, f"tcp://127.0.0.1:{server.server_port}", "--stream", "s"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with subscriber:
        while not server.stats().subscribers:
            assert subscriber.poll() is None
        server.publish("s", {"shot": 2, "end": False})
        output, message = subscriber.communicate(timeout=LIMIT_S)
    assert (output, subscriber.returncode) == ("", 1)
    assert message.startswith("wrong update: WrongAnswer(")
