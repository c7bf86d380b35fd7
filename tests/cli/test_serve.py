"""``laplace-server serve`` and ``laplace-server demo``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from support.command_line import CLI, LIMIT_S, failed, run, search_path
from support.keys import put_key, server_folder
from support.machine import APART, INTERRUPT, WINDOWS

from laplace_server.cli import demo_streams, measuring_process
from laplace_server.cli.demo_streams import Publisher
from laplace_server.cli.failures import ENDING_SIGNALS
from laplace_server.cli.serve import DeviceKind, RoleOfAnonymous
from laplace_server.client import ClientLHC
from laplace_server.errors import RemoteError
from laplace_server.security import ROLES, ServerSecurity
from laplace_server.sim import SIMULATED_DEVICES


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


@pytest.mark.transports("tcp")
def test_serve_with_keys(tmp_path: Path) -> None:
    folder = server_folder(tmp_path / "keys")
    with serving("--keys", str(folder), "--anonymous", "view") as (process, facts):
        assert facts["public_key"] == ServerSecurity.from_folder(folder).public_key
        with ClientLHC(facts["local_address"], timeout_s=LIMIT_S) as client:
            assert "positions" in client.get()
            with pytest.raises(RemoteError, match="'anonymous' may not use 'SET'"):
                client.set([1.5])
        assert process.poll() is None


@pytest.mark.transports("tcp")
def test_serve_says_whom_it_serves(tmp_path: Path) -> None:
    folder = server_folder(tmp_path / "keys")
    put_key(folder, "view", "display")
    command = [*CLI, "serve", "--address", "tcp://127.0.0.1:*", "--keys", str(folder)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **APART}
    pipes["env"] = {**os.environ, "PYTHONUNBUFFERED": "1"}
    told = "it serves 1 key, and nobody else."
    with subprocess.Popen([*command, "--log-level", "info"], text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Simulated MOTOR")
        public_key = ServerSecurity.from_folder(folder).public_key
        assert process.stdout.readline() == f"Its public key is {public_key}; {told}\n"
        process.send_signal(INTERRUPT)
        _, log = process.communicate(timeout=LIMIT_S)
    assert re.search(rf" INFO \[Server simulated\] Its public key is .*; {told}\n", log)
    assert process.returncode == 0


@pytest.mark.transports("tcp")
def test_serve_with_keys_that_cannot_be_had(tmp_path: Path) -> None:
    folder = str(server_folder(tmp_path / "keys"))
    for arguments, status, message in (
        (["--keys", str(tmp_path / "none")], 1, "none: No such file"),
        (["--keys", str(tmp_path)], 1, "keys new NAME --folder"),
        (["--anonymous", "view"], 2, "give --keys"),
        (["--keys", folder, "--anonymous", "root"], 2, "is not one of"),
    ):
        assert message in " ".join(failed("serve", *arguments, status=status).split())
    for variable, status, message in (
        ("LAPLACE_TRANSPORT", 2, "transport='tcp'"),
        ("LAPLACE_LIBSODIUM", 1, "cannot use the libsodium"),
    ):
        done = run("serve", "--keys", folder, env={variable: "libzmq"})
        assert (done.returncode, done.stderr.startswith("laplace-server: ")) == (status, True)
        assert message in done.stderr


def test_serve_knows_the_roles() -> None:
    assert tuple(role.value for role in RoleOfAnonymous) == ROLES


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
    assert re.search(
        r": [0-9,]+ reads/s of the motor \(idle: [0-9,]+\) and "
        r"[0-9,]+ reads/s of the camera \(idle: [0-9,]+\)\. ",
        reads,
    )
    assert re.match(r"Streamed: [0-9,]+ updates received, 0 lost\. For each stream", updates)


# What a child imports before anything else: it stands for a core that is in use.
SLOW_START = """
import sys, time
if "laplace_server.cli.measure_stream" in sys.orig_argv:
    time.sleep({seconds})
"""


def test_a_subscriber_that_starts_slowly(
    make_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_START.format(seconds=1))
    monkeypatch.setenv("PYTHONPATH", search_path(tmp_path))
    rows = Publisher(make_server(), 0.2, threading.Event()).measure("idle")
    assert [row.found["lost"] for row in rows] == [0, 0]


def test_a_subscriber_that_does_not_start(
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
    assert "subscriber has not subscribed within 0.1 s" in capsys.readouterr().err


def test_a_client_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measuring_process, "PATIENCE_S", 0.1)
    client = measuring_process.MeasuringProcess(
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
