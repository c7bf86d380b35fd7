"""The command line, run as a process."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import pytest
from support.command_line import CLI, LIMIT_S, failed, nobody, run, run_json, search_path

from laplace_server import ServerLHC, __version__, cli
from laplace_server.cli.app import app
from laplace_server.cli.values import as_lines, read_positions
from laplace_server.client import ClientLHC
from laplace_server.sim import SimulatedMotor

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


def test_info_is_whole_in_a_pipe(motor: SimulatedMotor) -> None:
    capabilities = run_json("info", motor.local_address)["capabilities"]
    lines = run("info", motor.local_address, env={"COLUMNS": "60"}).stdout.splitlines()
    assert f"capabilities: {json.dumps(capabilities)}" in lines
    assert "HALT" in capabilities


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
    paths: list[str | bool] = []
    with ServerLHC("camera", "tcp://127.0.0.1:*", 0, "CAMERA") as server:
        server.set_on_saving_path_changed(paths.append)
        address = f"tcp://127.0.0.1:{server.server_port}"
        assert run_json("save", address, "/data/run 1")["ok"] is True
        assert run("save", address, "/data").stdout == f"{address} saves to /data\n"
        assert paths == ["/data/run 1", "/data"]
        server.set_on_saving_status_toggled(paths.append)
        done = run_json("save", address, "--on")
        assert done == {"address": address, "cmd": "TOGGLE SAVING", "ok": True}
        done = run_json("save", address, "/data", "--off")
        assert done["cmd"] == "TOGGLE SAVING, SAVE"
    assert paths[2:] == [True, False, "/data"]


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


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("ping", []),
        ("info", []),
        ("get", ["--json"]),
        ("set", ["1.5"]),
        ("move", ["1.5"]),
        ("halt", []),
        ("call", ["HOME"]),
        ("save", ["/data"]),
        ("stop", []),
    ],
)
def test_nobody_answers(command: str, arguments: list[str]) -> None:
    with nobody() as address:
        start = time.monotonic()
        # Time enough to be connected, else the message says more.
        message = failed(command, address, *arguments, "--timeout", "0.5", status=1)
    assert message == f"laplace-server: no answer from {address} within 0.5 s.\n"
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
        ["move", "localhost:5555"],
        ["move", "localhost:5555", "fast"],
        ["move", "localhost:5555", "1", "--timeout", "inf"],
        ["move", "localhost:5555", "1", "--timeout", "nan"],
        ["save", "localhost:5555"],
        ["serve", "--device", "TOASTER"],
        ["serve", "--address", "localhost:5555"],
        ["demo", "--seconds", "0"],
        ["stream", "localhost:5555", "--creds", "file"],
        ["stream", "nats://localhost:4222/camera/images", "extra"],
        ["fly"],
    ],
)
def test_wrong_arguments(arguments: list[str]) -> None:
    assert failed(*arguments, status=2)


def test_a_wrong_time_is_told_by_its_option() -> None:
    message = failed("ping", "localhost:5555", "--timeout", "0", status=2)
    assert message == "laplace-server: --timeout must be a positive number of seconds, not 0.\n"


@pytest.mark.parametrize("address", ["127.0.0.1", "tcp://127.0.0.1", "tcp://127.0.0.1:abc"])
def test_what_is_wrong_with_a_servers_address_is_told_once(address: str) -> None:
    message = failed("serve", "--address", address, status=2)
    assert message.startswith("laplace-server: ")
    assert len(message.splitlines()) == 1


def test_serve_on_a_taken_port(motor: SimulatedMotor) -> None:
    message = failed("serve", "--address", motor.local_address, status=1)
    assert re.search("Address (already )?in use", message)


# -- the command itself


def test_help_and_version() -> None:
    commands = run("--help")
    assert commands.returncode == 0
    for command in (
        "demo",
        "serve",
        "ping",
        "info",
        "get",
        "set",
        "move",
        "halt",
        "call",
        "save",
        "stop",
        "check",
        "stream",
    ):
        assert re.search(rf"^ +{command} ", commands.stdout, re.MULTILINE)
        done = run(command, "--help")
        assert (done.stderr, done.returncode) == ("", 0)
    assert re.search(r"--device\s+MOTOR\|CAMERA\|GAS\|SHOT\s", run("serve", "--help").stdout)
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
    data = {"name": "stage", "image": list(range(1000))}
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert as_lines(data).splitlines()[1] == f"image: {data['image']}"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = as_lines(data).splitlines()
    assert lines[0] == "name: stage"
    assert len(lines[1]) == 50
    assert lines[1].endswith("...")
    assert as_lines({}) == "(no data)"


def test_values_do_not_act_on_the_terminal() -> None:
    assert as_lines({"a\x1b[2J": "b\nc\x07"}) == "a\\x1b[2J: b\\nc\\x07"
