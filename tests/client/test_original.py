"""Both clients against laplace-server 0.2.0."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.both_clients import Kind
from support.command_line import run
from support.peers import PATIENCE_S
from support.ports import own_address

from laplace_server import errors

# -- against laplace-server 0.2.0

ORIGINAL_SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[1])
import zmq
from laplace_server import ServerLHC
until = time.monotonic() + 20
while True:
    try:
        server = ServerLHC("original", sys.argv[2], 2, "MOTOR", {"x": float("nan"), "big": 2**70})
        break
    except zmq.ZMQError:  # one that was killed may hold its port for a moment
        if time.monotonic() > until:
            raise
        time.sleep(0.05)
seen = []
server.set_on_position_changed(lambda p: time.sleep(3600) if p == ["sleep"] else seen.append(p))
server.set_on_get(lambda: server.set_data({"seen": seen} if seen else server.data))
server.start()
print("ready", flush=True)
"""


@pytest.fixture
def start_original() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    from support.original import require_original

    folder = require_original()
    processes: list[subprocess.Popen[str]] = []

    def start(address: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", ORIGINAL_SCRIPT, str(folder), address]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_original_answers(
    kind: Kind, start_original: Callable[[str], subprocess.Popen[str]]
) -> None:
    address = own_address()
    process = start_original(address)
    with kind(address, timeout_s=PATIENCE_S) as client:
        assert client.ping() > 0
        assert client.info()["name"] == "original"
        data = client.get()
        assert math.isnan(data["x"])
        assert data["big"] == 2**70
        client.set([1.5, None])
        client.set({"0": 2.5})
        assert client.get() == {"seen": [[1.5, None], {"0": 2.5}]}
        client.save("/data")
        client.opt({"a": 1})
        client.scan({"a": 1})
        client.set_actuators({"a": 1})
        client.set_diagnostics({"a": 1})
        client.update_actuator_positions({"a": 1})
        with pytest.raises(errors.RemoteError, match="Unknown command"):
            client.toggle_saving(True)
        assert client.request("PING") == {"PING": "PONG"}
        client.stop_server()
    assert process.wait(PATIENCE_S) == 0


def test_original_killed_and_restarted(
    kind: Kind,
    start_original: Callable[[str], subprocess.Popen[str]],
) -> None:
    address = own_address()
    first = start_original(address)
    with ThreadPoolExecutor(1) as threads, kind(address, timeout_s=PATIENCE_S) as client:
        client.get()
        waiting = threads.submit(client.set, ["sleep"], timeout_s=1.0)
        with pytest.raises(errors.RequestTimeout):
            # The original does not answer anybody while its callback runs.
            while True:
                client.ping(timeout_s=0.5)
        first.kill()
        first.wait(PATIENCE_S)
        with pytest.raises(errors.RequestTimeout):
            waiting.result(PATIENCE_S)
        start_original(address)
        assert client.ping() > 0
        client.set([1])
        assert client.get() == {"seen": [[1]]}


def test_it_has_no_statistics_and_can_be_checked_all_the_same(
    kind: Kind, start_original: Callable[[str], subprocess.Popen[str]]
) -> None:
    address = own_address()
    start_original(address)
    with (
        kind(address, timeout_s=PATIENCE_S) as client,
        pytest.raises(errors.RemoteError, match="does not know STATS"),
    ):
        client.stats()
    done = run("check", address, "--timeout", str(PATIENCE_S))
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("LAPLACE OK - original (")
