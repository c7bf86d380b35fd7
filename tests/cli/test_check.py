"""laplace-server check: one line and a status, of servers that are well or not."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.command_line import nobody, run
from support.machine import WINDOWS
from support.peers import PATIENCE_S, Connect, address_of
from support.ports import own_address
from support.scripted_server import ScriptedServer, answering, reply_to
from support.serving import Gate, MakeServer, client_of
from support.waiting import eventually

from laplace_server import ServerLHC
from laplace_server.cli.check import _all_examined
from laplace_server.cli.health import Figure, Health, Limit, Limits, State, _judge
from laplace_server.security import ServerSecurity, own_keys
from laplace_server.security import folder as folders
from laplace_server.security.certificates import write_pair

OK, WARNING, CRITICAL, UNKNOWN = range(4)
LIMITS = Limits(Limit(), Limit(), Limit(), Limit())


def check(*arguments: str) -> tuple[int, str]:
    """The exit status and the line."""
    done = run("check", *arguments)
    assert done.stderr == ""
    assert done.stdout.endswith("\n")
    (line,) = done.stdout.splitlines()
    return done.returncode, line


def performance(line: str) -> dict[str, str]:
    data = line.partition(" | ")[2]
    return dict(re.findall(r"((?:'[^']*')|(?:[a-z_]+))=(\S+)", data))


def test_a_server_that_is_well(server: ServerLHC) -> None:
    status, line = check(address_of(server))
    assert status == OK
    host = address_of(server).removeprefix("tcp://")
    assert re.fullmatch(
        rf"LAPLACE OK - {server.name} \({host}\) answers in [0-9.]+ ms \| "
        r"round_trip=[0-9.]+ms;;;0 running=0s;30;;0 callback_errors=0c;;;0 lost_updates=0;;;0 "
        r"waiting=0;;;0 connections=1;;;0 uptime=[0-9.]+s;;;0",
        line,
    )


@pytest.mark.parametrize(
    ("arguments", "wanted", "words"),
    [
        (["--warn-ms", "0"], WARNING, "answers in"),
        (["--critical-ms", "0"], CRITICAL, "answers in"),
        (["--warn-ms", "60000", "--critical-ms", "90000"], OK, "answers in"),
        (["--warn-callback-errors", "1"], WARNING, "callbacks have raised: on_position_changed 2"),
        (["--warn-callback-errors", "3"], OK, "answers in"),
        (["--critical-callback-errors", "2"], CRITICAL, "callbacks have raised"),
        (["--warn-callback-errors", "1", "--critical-ms", "0"], CRITICAL, "ms, callbacks have"),
        (["--critical-callback-errors", "1", "--warn-ms", "0"], CRITICAL, "2, answers in"),
    ],
)
def test_limits(server: ServerLHC, arguments: list[str], wanted: int, words: str) -> None:
    server.set_on_position_changed(lambda _: 1 / 0)
    with client_of(server) as client:
        client.set([1])
        client.set([1])
    status, line = check(address_of(server), *arguments)
    assert (status, line.split()[1]) == (wanted, State(wanted).name)
    assert words in line
    assert performance(line)["callback_errors"].startswith("2c;")


def test_lost_updates(server: ServerLHC) -> None:
    server.declare_stream("shots", history_count=1)
    with client_of(server) as client, client.subscribe("shots", credit_bytes=1) as shots:
        for n in range(2000):
            server.publish("shots", {"n": n})
        while shots.next().seq < 2000:
            pass
        assert eventually(lambda: server.stats().subscribers[0].lost == shots.lost)
        lost = shots.lost
        status, line = check(address_of(server), "--critical-lost", "1")
    assert lost > 0
    assert status == CRITICAL
    assert f"its subscribers have lost {lost} updates" in line


def test_a_callback_that_hangs(server: ServerLHC, connect: Connect) -> None:
    gate = Gate()
    server.set_on_position_changed(gate)
    peer = connect(server)
    peer.send("SET", {"positions": [1]})
    gate.wait_begun()
    assert check(address_of(server))[0] == OK
    status, line = check(address_of(server), "--warn-running", "0.001")
    assert status == WARNING
    assert re.search(r"SET \(on_position_changed\) has been running for [0-9.]+ s", line)
    assert check(address_of(server), "--critical-running", "0.001")[0] == CRITICAL
    gate.open()
    peer.receive()


def test_data_that_cannot_be_sent(server: ServerLHC) -> None:
    server.set_data({"a|b": object()})
    status, line = check(address_of(server))
    assert status == WARNING
    assert "its data cannot be sent: " in line
    assert "a/b" in line
    assert line.count("|") == 1


def test_nobody_there() -> None:
    address = own_address()
    status, line = check(address, "--timeout", "0.5")
    assert status == CRITICAL
    host = address.removeprefix("tcp://")
    assert line.startswith(f"LAPLACE CRITICAL - {host}: no answer to PING within 0.5 s: ")
    assert " | " not in line
    with nobody() as silent:
        assert check(silent, "--timeout", "0.5")[0] == CRITICAL


def test_of_several_the_worst_counts(make_server: MakeServer) -> None:
    names = ["stage", "camera", "odd\n|name"]
    servers = [make_server(name=name) for name in names]
    addresses = [address_of(each) for each in servers]
    status, line = check(*addresses)
    assert status == OK
    assert line.index("stage") < line.index("camera") < line.index(r"odd\n/name")
    hosts = [each.removeprefix("tcp://") for each in addresses]
    assert {f"'{host} round_trip'" for host in hosts} <= set(performance(line))
    servers[2].set_data({"x": object()})
    missing = own_address()
    status, line = check(*addresses, missing, "--timeout", "2")
    assert status == CRITICAL
    assert line.index(missing.removeprefix("tcp://")) < line.index(r"odd\n/name")
    assert "(2 of 4 servers are well)" in line


def test_certain_trouble_counts_for_more_than_what_is_not_known(server: ServerLHC) -> None:
    status, line = check("nonsense", own_address(), "--timeout", "0.5")
    assert (status, line.split()[1]) == (CRITICAL, "CRITICAL")
    status, line = check(address_of(server), "nonsense")
    assert (status, line.split()[1]) == (UNKNOWN, "UNKNOWN")


@pytest.mark.parametrize("timeout", ["0", "-1", "nan"])
def test_a_wrong_time_out_is_unknown(timeout: str) -> None:
    status, line = check("127.0.0.1:1", "--timeout", timeout)
    assert status == UNKNOWN
    assert "--timeout must be a positive number of seconds" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "'ADDRESS...'"),
        (["127.0.0.1:1", "--nonsense|"], "--nonsense/"),
        (["127.0.0.1:1", "--timeout", "soon"], "'--timeout'"),
        (["127.0.0.1:1", "--key"], "'--key'"),
        *((["127.0.0.1:1", "--warn-ms", each], "'--warn-ms'") for each in ("x", "-1", "nan")),
        (["127.0.0.1:1", "--critical-lost", "inf"], "'--critical-lost'"),
    ],
)
def test_wrong_arguments_are_unknown(arguments: list[str], words: str) -> None:
    done = run("check", *arguments)
    (line,) = done.stdout.splitlines()
    assert done.returncode == UNKNOWN
    assert line.startswith("LAPLACE UNKNOWN - ")
    assert words in line
    assert "|" not in line
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr


def old_server(message: dict[str, Any]) -> list[Any]:
    """Answers as 0.2.0 does."""
    payloads = {"PING": {"PING": "PONG"}, "INFO": {"name": "old", "capabilities": ["PING", "INFO"]}}
    return [reply_to(message, payloads[message["cmd"]])]


def test_a_server_without_stats() -> None:
    with ScriptedServer(answering(old_server)) as server:
        status, line = check(server.address)
    assert status == OK
    assert set(performance(line)) == {"round_trip"}


@pytest.mark.parametrize("payload", [{}, {"running": 1}, {"running": None, "callback_errors": []}])
def test_statistics_that_are_none(payload: dict[str, Any]) -> None:
    def answer(message: dict[str, Any]) -> list[Any]:
        if message["cmd"] == "STATS":
            return [reply_to(message, payload)]
        return [reply_to(message, {"name": "odd", "capabilities": ["STATS"]})]

    with ScriptedServer(answering(answer)) as server:
        status, line = check(server.address)
    assert status == UNKNOWN
    assert "its statistics cannot be read" in line


@pytest.mark.transports("tcp")
def test_a_server_with_keys(home: Path, make_server: MakeServer) -> None:
    folder = home / "keys"
    folders.make(folder, "stage")
    own_keys.make_folders()
    (folder / "allowed" / "pings").mkdir(mode=0o700)
    (folder / "allowed" / "pings" / "commands.txt").write_text("PING\n")
    for name, role in (("anna", "view"), ("bert", "pings")):
        write_pair(own_keys.keys_folder(), name)
        folders.allow(folder, own_keys.keys_folder() / f"{name}.key", role, None)
    server = make_server(security=ServerSecurity.from_folder(folder))
    own_keys.trust(address_of(server), folder / "stage.key")
    status, line = check(address_of(server), "--key", "anna")
    assert (status, line.split()[1]) == (OK, "OK"), line
    status, line = check(address_of(server), "--key", "bert")
    assert status == UNKNOWN
    assert "INFO is not permitted: " in line
    status, line = check(address_of(server), "--key", "nobody")
    assert status == UNKNOWN
    assert "nobody" in line


@pytest.mark.skipif(WINDOWS, reason="a device that is full")
@pytest.mark.parametrize("output", ["full", "a pipe without a reader"])
def test_a_line_that_cannot_be_written_is_unknown(server: ServerLHC, output: str) -> None:
    """Status 1 would be a WARNING, of a server that is well."""
    for arguments in ([server.address], [own_address(), "--timeout", "0.1"], ["--warn-ms", "x"]):
        with contextlib.ExitStack() as opened:
            if output == "full":
                target = opened.enter_context(Path("/dev/full").open("w")).fileno()
            else:
                reader, target = os.pipe()
                os.close(reader)
                opened.callback(os.close, target)
            done = subprocess.run(
                [sys.executable, "-m", "laplace_server", "check", *arguments],
                stdout=target,
                stderr=subprocess.PIPE,
                text=True,
                timeout=PATIENCE_S,
            )
        assert done.returncode == UNKNOWN
        assert done.stderr.startswith("laplace-server: the output cannot be written: ")
        assert "Traceback" not in done.stderr


def test_without_threads_one_after_the_other(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    servers = [make_server(name=name) for name in ("a", "b")]
    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    found = _all_examined([each.address for each in servers], PATIENCE_S, None, LIMITS)
    assert [(each.name, each.state) for each in found] == [("a", State.OK), ("b", State.OK)]


def test_an_address_that_is_given_twice_is_asked_once(server: ServerLHC) -> None:
    status, line = check(server.address, server.address)
    assert status == OK
    assert line.count("round_trip=") == 1


@pytest.mark.parametrize("text", ["nan", "inf"])
def test_a_number_that_is_none(server: ServerLHC, text: str) -> None:
    stats = server.stats().as_json()
    health = Health("tcp://host:1")
    _judge({**stats, "uptime_s": text}, LIMITS, health)
    assert health.state is State.UNKNOWN
    assert health.figures == []


def test_the_worst_is_told_first() -> None:
    health = Health("tcp://host:1")
    for state in (State.UNKNOWN, State.WARNING, State.CRITICAL, State.WARNING):
        health.tell(state, f"{state.name} {len(health.reasons)}")
    assert health.state is State.CRITICAL
    assert health.texts == ["CRITICAL 2", "WARNING 1", "WARNING 3", "UNKNOWN 0"]


def test_figures() -> None:
    assert Figure("a", 1.23456, "ms", Limit(2)).as_performance_data("") == "a=1.235ms;2;;0"
    assert Figure("a", 10, "", Limit(0.5, 7)).as_performance_data("h:1 ") == "'h:1 a'=10;0.5;7;0"
    assert Figure("a", 100.0, "s").as_performance_data("") == "a=100s;;;0"
    large = Figure("a", 1, "", Limit(0.00001, 1234567))
    assert large.as_performance_data("") == "a=1;0.00001;1234567;0"
    assert [Limit(1, 2).judge(value) for value in (0.5, 1, 2)] == [0, 1, 2]
