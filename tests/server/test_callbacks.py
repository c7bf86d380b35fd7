"""Callbacks: what they get, in which thread and order, and whom they keep waiting."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import zmq
from support.commands import COMMANDS, BadText
from support.isolated import Child
from support.machine import within
from support.peers import Connect
from support.pollers import Poller
from support.serving import MakeServer
from support.waiting import eventually

from laplace_server.protocol import LOGGER_NAME
from laplace_server.stats import ErrorKind

# What a callback of another client may cost (s).
PROMPT_S = within(0.1)


VALUES: list[Any] = [[1.5, 2], {"0": 1.5}, None, False, 0, "text é\ud800", [], {}, [[None]], 2**80]


@pytest.mark.parametrize(("cmd", "key", "setter", "attribute", "text"), COMMANDS)
@pytest.mark.parametrize("assigned", [False, True])
def test_the_value_arrives_untouched(
    make_server: MakeServer,
    connect: Connect,
    cmd: str,
    key: str,
    setter: str,
    attribute: str,
    text: str,
    assigned: bool,
) -> None:
    server = make_server()
    client = connect(server)
    assert getattr(server, attribute) is None
    reply = client.ask(cmd, {key: 1})
    assert (reply["error_msg"], reply["msg"], reply["cmd"]) == (None, text, cmd)
    seen: list[Any] = []
    if assigned:
        setattr(server, attribute, seen.append)
    else:
        getattr(server, setter)(seen.append)
    for value in VALUES:
        reply = client.ask(cmd, {key: value, "other": 1})
        assert reply == {
            "from": "tested",
            "to": "tester",
            "cmd": cmd,
            "payload": {},
            "version": "0.2.2",
            "error_msg": None,
            "msg": text,
        }
    assert json.dumps(seen) == json.dumps(VALUES)
    getattr(server, setter)(None)
    client.ask(cmd, {key: 1})
    assert len(seen) == len(VALUES)
    missing = client.ask(cmd, {"wrong": 1})
    assert missing["error_msg"] == f"Payload missing keys: ['{key}']."
    assert client.ask(cmd, [])["error_msg"] == "'payload' must be a dict."
    assert eventually(lambda: server.stats().errors[ErrorKind.PAYLOAD] == 2)
    with pytest.raises(TypeError, match="callable"):
        getattr(server, setter)("not callable")


def test_scan_gets_the_whole_message(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    seen: list[Any] = []
    server.set_on_scan(seen.append)
    reply = connect(server).ask("SCAN", {"data": [1]}, extra="e", msg="scan")
    assert (reply["error_msg"], reply["msg"]) == (None, "Updating scan")
    assert seen[0]["payload"] == {"data": [1]}
    assert (seen[0]["extra"], seen[0]["msg"], seen[0]["from"]) == ("e", "scan", "tester")


@pytest.mark.parametrize("assigned", [False, True])
def test_get_calls_back_first(make_server: MakeServer, connect: Connect, assigned: bool) -> None:
    server = make_server(data={"n": 0})
    client = connect(server)
    calls: list[str] = []

    def on_get() -> None:
        calls.append(threading.current_thread().name)
        server.set_data({"n": len(calls)})

    for _ in range(20):  # set and unset: the very next GET must know
        calls.clear()
        if assigned:
            server.on_get = on_get
        else:
            server.set_on_get(on_get)
        assert [client.get()["n"] for _ in range(2)] == [1, 2]
        assert calls == ["tested", "tested"]
        server.set_on_get(None)
        assert client.get() == {"n": 2}
        assert len(calls) == 2


def test_get_shows_what_the_callback_changes_in_place(
    make_server: MakeServer, connect: Connect
) -> None:
    data = {"n": 0}
    server = make_server(data=data)
    client = connect(server)

    def on_get() -> None:
        data["n"] += 1

    client.get()
    server.set_on_get(on_get)
    assert [client.get()["n"] for _ in range(5)] == [1, 2, 3, 4, 5]


def test_a_get_callback_holds_up_no_other_command(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()
    begun, release = threading.Event(), threading.Event()

    def on_get() -> None:
        begun.set()
        assert release.wait(20)

    server.set_on_get(on_get)
    client, other = connect(server), connect(server)
    client.ask("PING")
    client.send("GET")
    assert begun.wait(20)
    assert other.ask("PING")["payload"] == {"PING": "PONG"}
    assert other.info()["name"] == "tested"
    assert not client.answered(0)
    release.set()
    assert client.receive()["payload"] == {"data": {}}


def test_one_at_a_time_in_the_server_thread_in_order(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()
    inside = threading.Semaphore(1)
    seen: list[tuple[int, threading.Thread]] = []

    def on_set(n: int) -> None:
        assert inside.acquire(blocking=False)
        seen.append((n, threading.current_thread()))
        inside.release()

    server.set_on_position_changed(on_set)
    server.set_on_opt(on_set)
    client = connect(server, kind=zmq.DEALER)
    others = [connect(server, kind=zmq.DEALER) for _ in range(3)]
    count = 100
    for n in range(count):
        client.send(*(("SET", {"positions": n}) if n % 2 else ("OPT", {"data": n})))
        for other in others:
            other.send("SET", {"positions": -1})
    for n in range(count):
        assert client.receive()["cmd"] == ("SET" if n % 2 else "OPT")
        for other in others:
            assert other.receive()["error_msg"] is None
    assert [n for n, _ in seen if n >= 0] == list(range(count))
    assert len(seen) == 4 * count
    assert {thread for _, thread in seen} == {server}


def test_the_reply_leaves_after_the_callback(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    begun, release = threading.Event(), threading.Event()

    def on_set(positions: Any) -> None:
        begun.set()
        assert release.wait(20)

    server.set_on_position_changed(on_set)
    client = connect(server)
    client.send("SET", {"positions": 1})
    assert begun.wait(20)
    assert not client.answered(0.05)
    release.set()
    assert client.receive()["msg"] == "Positions updated."


@pytest.mark.parametrize(
    "problem",
    [ValueError("v \ud800"), SystemExit(3), KeyboardInterrupt(), BadText(), GeneratorExit()],
)
@pytest.mark.parametrize("cmd", ["SET", "GET", "SCAN"])
def test_a_callback_that_raises_is_logged_and_the_reply_is_normal(
    make_server: MakeServer,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    cmd: str,
    problem: BaseException,
) -> None:
    server = make_server(data={"a": 1})

    def raises(*values: Any) -> None:
        raise problem

    server.set_on_position_changed(raises)
    server.set_on_get(raises)
    server.set_on_scan(raises)
    client = connect(server)
    client.ask("PING")
    with caplog.at_level(logging.ERROR, LOGGER_NAME):
        reply = client.ask(cmd, {"positions": 1})
    assert reply["error_msg"] is None
    assert reply["payload"] == ({"data": {"a": 1}} if cmd == "GET" else {})
    records = [record for record in caplog.records if record.exc_info]
    assert [record.exc_info[1] for record in records if record.exc_info] == [problem]
    assert server.is_alive()
    assert not any(server.stats().errors.values())
    name = {"SET": "on_position_changed", "GET": "on_get", "SCAN": "on_scan"}[cmd]
    assert server.stats().callback_errors == {name: 1}
    assert client.ask("SCAN")["error_msg"] is None


def test_a_callback_with_the_wrong_arguments_is_logged(
    make_server: MakeServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server()
    server.set_on_position_changed(lambda: None)  # type: ignore[arg-type, misc]
    assert connect(server).ask("SET", {"positions": 1})["error_msg"] is None
    assert "on_position_changed raised" in caplog.text


def test_emit(make_server: MakeServer, caplog: pytest.LogCaptureFixture) -> None:
    server = make_server(start=False)
    seen: list[Any] = []
    server.emit("on_position_changed", [1])
    server.set_on_position_changed(seen.append)
    server.emit("on_position_changed", [1])
    server.emit("no such callback")
    server.emit("on_position_changed")
    assert seen == [[1]]
    assert "on_position_changed raised" in caplog.text


def test_a_callback_may_change_callbacks_and_handlers(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()
    client = connect(server, kind=zmq.DEALER)

    def on_set(positions: Any) -> None:
        server.set_on_get(lambda: server.set_data({"by": "on_get"}))
        server.register_handler("NEW", lambda *_: {"new": positions})

    server.set_on_position_changed(on_set)
    for cmd in ("SET", "NEW", "GET"):
        client.send(cmd, {"positions": 1})
    assert client.receive()["error_msg"] is None
    assert client.receive()["payload"] == {"new": 1}
    assert client.receive()["payload"] == {"data": {"by": "on_get"}}


def wait_in(server: Any, seconds: float, computing: bool) -> Callable[[Any], None]:
    def on_set(positions: Any) -> None:
        end = time.monotonic() + seconds
        if not computing:
            time.sleep(seconds)  # the callback of a slow device, not a synchronisation
        while time.monotonic() < end:
            sum(range(1000))

    return on_set


@pytest.mark.alone
@pytest.mark.parametrize("live", [False, True], ids=["frozen", "live"])
@pytest.mark.parametrize("computing", [False, True], ids=["sleeping", "computing"])
def test_a_slow_callback_delays_no_other_client(
    make_server: MakeServer,
    connect: Connect,
    make_child: Callable[..., Child],
    live: bool,
    computing: bool,
) -> None:
    data = {"positions": [0]}
    server = make_server()
    server.set_data(data, copy=not live)
    seconds = 0.5 + within(1.5 if live else 0.5)
    server.set_on_position_changed(wait_in(server, seconds, computing))
    poller = Poller(make_child, server.server_port)
    client = connect(server)
    client.send("SET", {"positions": [1]})
    assert eventually(lambda: server.stats().queue_depth == 1)
    poller.begin(0.5, "GET", "PING", "INFO")
    seen = poller.result()
    assert not client.answered(0), "the callback ended too early to prove anything"
    assert seen.longest_s < PROMPT_S
    assert seen.errors == 0
    assert seen.answers > 20
    assert server.stats().stale_gets == 0
    assert client.receive()["error_msg"] is None


def test_a_request_behind_a_slow_one_of_the_same_peer_waits(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()
    begun, release = threading.Event(), threading.Event()

    def on_set(positions: Any) -> None:
        begun.set()
        assert release.wait(20)
        server.set_data({"moved": positions})

    server.set_on_position_changed(on_set)
    client = connect(server, kind=zmq.DEALER)
    client.send("SET", {"positions": 1})
    client.send("GET")
    client.send("PING")
    assert begun.wait(20)
    assert not client.answered(0.05)
    release.set()
    assert client.receive()["cmd"] == "SET"
    assert client.receive()["payload"]["data"] == {"moved": 1}
    assert client.receive()["cmd"] == "PING"
