"""The command line, run as a process."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
import zmq
from machine import APART, INTERRUPT, WINDOWS

from laplace_server import ServerLHC, __version__, cli
from laplace_server.cli import apart, demo_streams
from laplace_server.cli.app import app
from laplace_server.cli.demo_streams import Publisher
from laplace_server.cli.failures import ENDING_SIGNALS
from laplace_server.cli.serve import DeviceKind
from laplace_server.cli.values import as_lines, read_positions
from laplace_server.client import ClientLHC
from laplace_server.sim import SIMULATED_DEVICES, SimulatedMotor

LIMIT_S = 60.0

CLI = [sys.executable, "-m", "laplace_server"]


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, "COLUMNS": "80", **(env or {})},
    )


def run_json(*arguments: str) -> Any:
    done = run(*arguments, "--json")
    assert (done.stderr, done.returncode) == ("", 0)
    assert len(done.stdout.splitlines()) == 1
    return json.loads(done.stdout)


def failed(*arguments: str, status: int) -> str:
    """Run a command that has to fail and return its message."""
    done = run(*arguments)
    assert (done.stdout, done.returncode) == ("", status), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def motor() -> Iterator[SimulatedMotor]:
    with SimulatedMotor("stage") as device:
        yield device


# -- requests


def test_ping(motor: SimulatedMotor) -> None:
    answer = run_json("ping", motor.local_address)
    assert answer["address"] == motor.local_address
    assert 0 < answer["seconds"] < LIMIT_S
    done = run("ping", motor.local_address)
    assert re.fullmatch(rf"{motor.local_address} answers in [0-9.]+ ms\.\n", done.stdout)


def test_address_without_the_protocol(motor: SimulatedMotor) -> None:
    answer = run_json("ping", motor.local_address.removeprefix("tcp://"))
    assert answer["address"] == motor.local_address


def test_info(motor: SimulatedMotor) -> None:
    assert run_json("info", motor.local_address)["name"] == "stage"
    lines = run("info", motor.local_address).stdout.splitlines()
    assert "name: stage" in lines
    assert "freedom: 2" in lines


def test_get(motor: SimulatedMotor) -> None:
    assert run_json("get", motor.local_address)["positions"] == [0.0, 0.0]
    assert "positions: [0.0, 0.0]" in run("get", motor.local_address).stdout.splitlines()


def test_get_nan() -> None:
    data = {"v": [float("inf"), 2**70]}
    with ServerLHC("gas", "tcp://127.0.0.1:*", 0, "GAS", data) as server:
        address = f"127.0.0.1:{server.server_port}"
        assert run_json("get", address) == {"v": [float("inf"), 2**70]}


@pytest.mark.parametrize(
    ("words", "targets"),
    [
        (["-1.5", "2"], [-1.5, 2.0]),
        (["1=-2.5"], [0.0, -2.5]),
        (["null", "3e0"], [0.0, 3.0]),
        (['{"0": 4}'], [4.0, 0.0]),
        (["[1, 2]"], [1.0, 2.0]),
    ],
)
def test_set(motor: SimulatedMotor, words: list[str], targets: list[float]) -> None:
    done = run_json("set", motor.local_address, *words)
    assert done == {"address": motor.local_address, "cmd": "SET", "ok": True}
    with ClientLHC(motor.local_address, timeout_s=LIMIT_S) as client:
        assert client.get()["targets"] == targets
    done = run("set", motor.local_address, *words)
    assert done.stdout.startswith(f"{motor.local_address} takes ")


def test_save() -> None:
    paths: list[str] = []
    with ServerLHC("camera", "tcp://127.0.0.1:*", 0, "CAMERA") as server:
        server.set_on_saving_path_changed(paths.append)
        address = f"tcp://127.0.0.1:{server.server_port}"
        assert run_json("save", address, "/data/run 1")["ok"] is True
        assert run("save", address, "/data").stdout == f"{address} saves to /data\n"
    assert paths == ["/data/run 1", "/data"]


def test_stop(motor: SimulatedMotor) -> None:
    done = run("stop", motor.local_address)
    assert (done.stdout, done.returncode) == (f"{motor.local_address} stops.\n", 0)
    motor.server.join(LIMIT_S)
    assert not motor.server.is_alive()


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_names_that_the_console_does_not_know(encoding: str) -> None:
    name = "é€😀\ud800"
    with ServerLHC(name, "tcp://127.0.0.1:*", 0, "CAMERA") as server:
        done = subprocess.run(
            [*CLI, "info", f"127.0.0.1:{server.server_port}"],
            capture_output=True,
            timeout=LIMIT_S,
            check=True,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )
    assert b"name: " + name.encode(encoding, "backslashreplace") in done.stdout.splitlines()


def test_arguments_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows the parser would look for files that match "[1, 2]", and for a user's home."""
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(type(app), "__call__", lambda self, **options: seen.append(options))
    cli.main()
    assert [options["windows_expand_args"] for options in seen] == [False]


# -- failures


@contextmanager
def nobody() -> Iterator[str]:
    """Hold a port of this machine that takes connections and never answers."""
    context = zmq.Context()
    with context.socket(zmq.ROUTER) as socket:
        socket.linger = 0
        yield f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"
    context.term()


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("ping", []),
        ("info", []),
        ("get", ["--json"]),
        ("set", ["1.5"]),
        ("save", ["/data"]),
        ("stop", []),
    ],
)
def test_nobody_answers(command: str, arguments: list[str]) -> None:
    with nobody() as address:
        start = time.monotonic()
        message = failed(command, address, *arguments, "--timeout", "0.1", status=1)
    assert message == f"laplace-server: no answer from {address} within 0.1 s.\n"
    assert time.monotonic() - start < LIMIT_S


def test_remote_error() -> None:
    with SimulatedMotor(remote_stop=False) as motor:
        message = failed("stop", motor.local_address, status=1)
        assert message.startswith(f"laplace-server: {motor.local_address} answered STOP with an")
        assert "not permitted" in message


@pytest.mark.parametrize(
    "arguments",
    [
        ["ping", "tcp://*:5555"],
        ["ping", "localhost"],
        ["get", "localhost:5555", "--timeout", "0"],
        ["get", "localhost:5555", "--timeout", "nan"],
        ["set", "localhost:5555", "fast"],
        ["set", "localhost:5555", "nan"],
        ["set", "localhost:5555", "1", "0=2"],
        ["set", "localhost:5555", "0=1", "0=2"],
        ["set", "localhost:5555", "x=1"],
        ["set", "localhost:5555", "[1,"],
        ["set", "localhost:5555"],
        ["save", "localhost:5555"],
        ["serve", "--device", "TOASTER"],
        ["serve", "--address", "localhost:5555"],
        ["demo", "--seconds", "0"],
        ["fly"],
    ],
)
def test_wrong_arguments(arguments: list[str]) -> None:
    assert failed(*arguments, status=2)


def test_serve_on_a_taken_port(motor: SimulatedMotor) -> None:
    message = failed("serve", "--address", motor.local_address, status=1)
    assert re.search("Address (already )?in use", message)


# -- serve


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    command = [*CLI, "serve", "--address", "tcp://127.0.0.1:*", "--json", *arguments]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **APART}
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.communicate()
            yield process, json.loads(line)
        finally:
            process.kill()


# Windows has no SIGTERM between processes.
@pytest.mark.parametrize("number", [INTERRUPT] if WINDOWS else [INTERRUPT, signal.SIGTERM])
def test_serve_until_a_signal(number: int) -> None:
    with serving("--name", "lab", "--device", "camera") as (process, facts):
        assert (facts["name"], facts["device"]) == ("lab", "CAMERA")
        with ClientLHC(facts["local_address"], timeout_s=LIMIT_S) as client:
            assert client.info()["name"] == "lab"
            assert client.info()["device"] == "CAMERA"
            assert len(client.get()["image"]) == 12
        process.send_signal(number)
        assert process.communicate(timeout=LIMIT_S) == ("", "")
        assert process.returncode == 0


def test_serve_until_a_client_stops_it() -> None:
    with serving() as (process, facts):
        assert facts["device"] == "MOTOR"
        with ClientLHC(facts["local_address"], timeout_s=LIMIT_S) as client:
            client.stop_server()
        assert process.communicate(timeout=LIMIT_S) == ("", "")
        assert process.returncode == 0


def test_serve_without_remote_stop() -> None:
    with serving("--no-remote-stop") as (process, facts):
        assert "not permitted" in failed("stop", facts["local_address"], status=1)
        assert process.poll() is None


def test_serve_knows_the_simulated_devices() -> None:
    assert [kind.value for kind in DeviceKind] == list(SIMULATED_DEVICES)


def test_info_shows_callbacks_that_failed(make_server: Any) -> None:
    server = make_server()
    address = f"tcp://127.0.0.1:{server.server_port}"
    assert "callback_errors" not in run("info", address).stdout

    def move(positions: Any) -> None:
        raise ValueError("no such axis")

    server.set_on_position_changed(move)
    assert run("set", address, "1.5").returncode == 0
    assert 'callback_errors: {"on_position_changed": 1}\n' in run("info", address).stdout
    payload = json.loads(run("info", address, "--json").stdout)
    assert payload["callback_errors"] == {"on_position_changed": 1}


# -- demo


def test_demo() -> None:
    done = run("demo", "--seconds", "2")
    assert (done.stderr, done.returncode) == ("", 0)
    rows = re.findall(r"^\W+(motor|camera) .* (idle|computing) ", done.stdout, re.MULTILINE)
    assert rows == [
        ("motor", "idle"),
        ("camera", "idle"),
        ("motor", "computing"),
        ("camera", "computing"),
    ]
    assert "reads/s" in done.stdout
    streams = re.findall(
        r"^\W+pulses \W+ (flat out|1,000/s) \W+ (idle|computing) \W+ ([0-9,]+) .* 0 \W+$",
        done.stdout,
        re.MULTILINE,
    )
    assert [row[:2] for row in streams] == [
        ("flat out", "idle"),
        ("1,000/s", "idle"),
        ("flat out", "computing"),
        ("1,000/s", "computing"),
    ]
    assert all(int(rate.replace(",", "")) > 0 for *_, rate in streams)
    assert all(len(line) <= 80 for line in done.stdout.splitlines()[:-2])
    reads, updates = done.stdout.splitlines()[-2:]
    assert re.match(r"Shown: [0-9,]+ answers, all checked\. With a Python thread", reads)
    assert re.match(r"Streamed: [0-9,]+ updates received, 0 lost\. For each stream", updates)


def search_path(folder: Path) -> str:
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


# What a child imports before anything else: it stands for a core that is in use.
SLOW_START = """
import sys, time
if "laplace_server.cli.measure_stream" in sys.orig_argv:
    time.sleep({seconds})
"""


def test_a_follower_that_starts_slowly(
    make_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_START.format(seconds=1))
    monkeypatch.setenv("PYTHONPATH", search_path(tmp_path))
    rows = Publisher(make_server(), 0.2, threading.Event()).measure("idle")
    assert [row.found["lost"] for row in rows] == [0, 0]


def test_a_follower_that_does_not_start(
    make_server: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_START.format(seconds=1000))
    monkeypatch.setenv("PYTHONPATH", search_path(tmp_path))
    monkeypatch.setattr(demo_streams, "PATIENCE_S", 0.1)
    publisher = Publisher(make_server(), 0.2, threading.Event())
    with pytest.raises(typer.Exit):
        publisher.measure("idle")
    assert "follower has not subscribed within 0.1 s" in capsys.readouterr().err


def test_a_client_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(apart, "PATIENCE_S", 0.1)
    client = apart.Apart(
        threading.Event(), "timeit", "-n", "1", "-r", "1", "import time; time.sleep(1000)"
    )
    with pytest.raises(typer.Exit):
        client.result(0.1)
    assert "has not ended within 0.2 s" in capsys.readouterr().err


def test_every_signal_that_ends_programs_is_taken() -> None:
    names = {"SIGINT", "SIGTERM", "SIGBREAK"}  # the last one on Windows
    assert {signal.Signals(number).name for number in ENDING_SIGNALS} == {
        name for name in names if hasattr(signal, name)
    }


def test_demo_interrupted() -> None:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **APART}
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*CLI, "demo"], text=True, env=environment, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("A simulated motor")
        process.send_signal(INTERRUPT)
        _, message = process.communicate(timeout=LIMIT_S)
    assert message == "laplace-server: interrupted.\n"
    assert process.returncode == 130


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


def test_the_follower_measures_and_tells_the_server(make_server: Any) -> None:
    server = make_server()
    told: list[Any] = []
    server.register_handler("FOUND", lambda _, message, __: told.append(message["payload"]))
    server.declare_stream("s")
    follower = subprocess.Popen(
        [*FOLLOW, f"tcp://127.0.0.1:{server.server_port}", "--stream", "s"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with follower:
        while not server.stats().subscribers:
            assert follower.poll() is None
        for n in range(1, 1001):
            server.publish("s", {"shot": n, "end": n == 1000})
        output, _ = follower.communicate(timeout=LIMIT_S)
    assert follower.returncode == 0
    found = json.loads(output)
    assert told == [found]
    counts = {key: found[key] for key in ("received", "lost", "first", "last")}
    assert counts == {"received": 1000, "lost": 0, "first": 1, "last": 1000}
    assert found["seconds"] > 0
    assert 0 < found["p50_ms"] <= found["p99_ms"]


def test_the_follower_refuses_wrong_updates(make_server: Any) -> None:
    server = make_server()
    server.declare_stream("s")
    follower = subprocess.Popen(
        [*FOLLOW, f"tcp://127.0.0.1:{server.server_port}", "--stream", "s"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with follower:
        while not server.stats().subscribers:
            assert follower.poll() is None
        server.publish("s", {"shot": 2, "end": False})
        output, message = follower.communicate(timeout=LIMIT_S)
    assert (output, follower.returncode) == ("", 1)
    assert message.startswith("wrong update: WrongAnswer(")


# -- the command itself


def test_help_and_version() -> None:
    commands = run("--help")
    assert commands.returncode == 0
    for command in ("demo", "serve", "ping", "info", "get", "set", "save", "stop", "stream"):
        assert re.search(rf"^ +{command} ", commands.stdout, re.MULTILINE)
        done = run(command, "--help")
        assert (done.stderr, done.returncode) == ("", 0)
    version = run("--version")
    assert (version.stdout, version.returncode) == (f"laplace-server {__version__}\n", 0)


def test_console_script() -> None:
    script = shutil.which("laplace-server", path=sysconfig.get_path("scripts"))
    if script is None:
        pytest.skip("the package is not installed here")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (f"laplace-server {__version__}\n", 0)


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra(missing: str, tmp_path: Path) -> None:
    (tmp_path / f"{missing}.py").write_text(f"raise ModuleNotFoundError('No {missing} here')")
    done = run("--help", env={"PYTHONPATH": search_path(tmp_path)})
    assert (done.stdout, done.returncode) == ("", 2)
    assert f"No {missing} here" in done.stderr
    assert "pip install '.[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_start_is_light() -> None:
    script = "import sys, laplace_server.cli.app; print(*sorted(sys.modules))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "laplace_server.cli.requests" in loaded
    heavy = {"numpy", "PyQt6", "rich.live", "laplace_server.client", "laplace_server.sim"}
    assert not heavy & loaded


# -- values


@pytest.mark.parametrize(
    ("words", "positions"),
    [
        (["1.5", "2.0"], [1.5, 2.0]),
        (["3"], [3]),
        (["-1e-3", "null"], [-0.001, None]),
        (["0=2.5"], {"0": 2.5}),
        (["00=1", "12=null"], {"0": 1, "12": None}),
        (['{"0": 1.5}'], {"0": 1.5}),
        ([" [1, null]"], [1, None]),
        ([str(2**70)], [2**70]),
    ],
)
def test_read_positions(words: list[str], positions: Any) -> None:
    read = read_positions(words)
    assert read == positions
    assert repr(read) == repr(positions)


def test_lines_are_cut_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    lines = as_lines({"name": "stage", "image": list(range(1000))}).splitlines()
    assert lines[0] == "name: stage"
    assert len(lines[1]) == 50
    assert lines[1].endswith("...")
    assert as_lines({}) == "(no data)"
