"""Callbacks: what they get, in which thread and order, and whom they keep waiting."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import zmq
from async_callables import ASYNC, async_function
from isolated import Child
from machine import within
from pollers import Poller

from conftest import Connect, MakeServer, eventually
from laplace_server.protocol import LOGGER_NAME
from laplace_server.stats import ErrorKind

# What a callback of another client may cost (s).
PROMPT_S = within(0.1)
# command, key of the payload, setter, attribute, reply text
COMMANDS = [
    ("SET", "positions", "set_on_position_changed", "on_position_changed", "Positions updated."),
    (
        "SAVE",
        "path",
        "set_on_saving_path_changed",
        "on_saving_path_changed",
        "Saving path changed.",
    ),
    ("OPT", "data", "set_on_opt", "on_opt", "Updating opt."),
    (
        "SET ACT",
        "actuators",
        "set_on_set_actuators",
        "on_set_actuators",
        "Actuators set on scanners",
    ),
    (
        "SET DIAG",
        "diagnostics",
        "set_on_set_diagnostics",
        "on_set_diagnostics",
        "Diagnostics set on scanners",
    ),
    (
        "UPDATE ACT POS",
        "actuators",
        "set_on_update_actuator_positions",
        "on_update_actuator_positions",
        "Current actuators positions set on scanners",
    ),
    (
        "TOGGLE SAVING",
        "saving status",
        "set_on_saving_status_toggled",
        "on_saving_status_toggled",
        "Saving status toggled.",
    ),
]
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
    reply = client.request(cmd, {key: 1})
    assert (reply["error_msg"], reply["msg"], reply["cmd"]) == (None, text, cmd)
    seen: list[Any] = []
    if assigned:
        setattr(server, attribute, seen.append)
    else:
        getattr(server, setter)(seen.append)
    for value in VALUES:
        reply = client.request(cmd, {key: value, "other": 1})
        assert reply == {
            "from": "tested",
            "to": "raw client",
            "cmd": cmd,
            "payload": {},
            "version": "0.2.2",
            "error_msg": None,
            "msg": text,
        }
    assert json.dumps(seen) == json.dumps(VALUES)
    getattr(server, setter)(None)
    client.request(cmd, {key: 1})
    assert len(seen) == len(VALUES)
    missing = client.request(cmd, {"wrong": 1})
    assert missing["error_msg"] == f"Payload missing keys: ['{key}']."
    assert client.request(cmd, [])["error_msg"] == "'payload' must be a dict."
    assert eventually(lambda: server.stats().errors[ErrorKind.PAYLOAD] == 2)
    with pytest.raises(TypeError, match="callable"):
        getattr(server, setter)("not callable")


def test_scan_gets_the_whole_message(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    seen: list[Any] = []
    server.set_on_scan(seen.append)
    reply = connect(server).request("SCAN", {"data": [1]}, extra="e", msg="scan")
    assert (reply["error_msg"], reply["msg"]) == (None, "Updating scan")
    assert seen[0]["payload"] == {"data": [1]}
    assert (seen[0]["extra"], seen[0]["msg"], seen[0]["from"]) == ("e", "scan", "raw client")


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
    client.request("PING")
    client.send("GET")
    assert begun.wait(20)
    assert other.request("PING")["payload"] == {"PING": "PONG"}
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


class BadText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


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
    client.request("PING")
    with caplog.at_level(logging.ERROR, LOGGER_NAME):
        reply = client.request(cmd, {"positions": 1})
    assert reply["error_msg"] is None
    assert reply["payload"] == ({"data": {"a": 1}} if cmd == "GET" else {})
    records = [record for record in caplog.records if record.exc_info]
    assert [record.exc_info[1] for record in records if record.exc_info] == [problem]
    assert server.is_alive()
    assert not any(server.stats().errors.values())
    name = {"SET": "on_position_changed", "GET": "on_get", "SCAN": "on_scan"}[cmd]
    assert server.stats().callback_errors == {name: 1}
    assert client.request("SCAN")["error_msg"] is None


def test_a_callback_with_the_wrong_arguments_is_logged(
    make_server: MakeServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server()
    server.set_on_position_changed(lambda: None)  # type: ignore[arg-type, misc]
    assert connect(server).request("SET", {"positions": 1})["error_msg"] is None
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


# ---- callbacks that fail

EVERY_CALLBACK = [
    *((cmd, {key: 1}, attribute) for cmd, key, _, attribute, _ in COMMANDS),
    ("SCAN", {}, "on_scan"),
    ("GET", {}, "on_get"),
    ("GET ARRAYS", {}, "on_get"),
]


def fails(*values: Any) -> None:
    raise ValueError("no such axis é\ud800")


@pytest.mark.parametrize(("cmd", "payload", "name"), EVERY_CALLBACK)
def test_failures_are_counted_and_shown(
    make_server: MakeServer, connect: Connect, cmd: str, payload: Any, name: str
) -> None:
    server = make_server(data={"a": 1}, callback_errors="log")
    client = connect(server)
    normal = client.request(cmd, payload)
    setattr(server, name, lambda *values: None)
    assert client.request(cmd, payload) == normal
    assert server.stats().callback_errors == {}
    assert "callback_errors" not in client.info()
    setattr(server, name, fails)
    for count in (1, 2):
        assert client.request(cmd, payload) == normal
        assert server.stats().callback_errors == {name: count}
        assert client.info()["callback_errors"] == {name: count}
        by_python = client.request("INFO", {"long": 10**30})["payload"]
        assert by_python == client.info()
    server.publish("s", {})
    info = client.info()
    assert client.request("INFO", {"long": 10**30})["payload"] == info
    assert list(info)[:8] == [*INFO_KEYS, "callback_errors", "epoch"]
    assert server.stats().commands["INFO"].native > 0


INFO_KEYS = ["device", "freedom", "name", "capabilities", "name_list", "plottables_list"]


def test_a_failure_is_shown_also_while_info_cannot_be(
    make_server: MakeServer, connect: Connect
) -> None:
    names: list[Any] = []
    server = make_server(name_list=names)
    server.on_opt = fails
    client = connect(server)
    names.append(object())
    assert client.request("OPT", {"data": 1})["error_msg"] is None
    assert "name_list" in client.request("INFO")["error_msg"]
    names.clear()
    assert client.info()["callback_errors"] == {"on_opt": 1}


def test_info_is_frozen_again_after_a_failure(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    server.on_opt = fails
    client = connect(server)
    client.request("OPT", {"data": 1})

    def looks() -> int:
        before = server.stats().refreshes
        client.info()
        return server.stats().refreshes - before

    assert eventually(lambda: looks() == 0)


def test_failures_of_several_callbacks(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    server.on_opt = server.on_get = server.on_mine = fails
    client = connect(server)
    for cmd in ("OPT", "GET", "OPT"):
        client.request(cmd, {"data": 1})
    before = server.stats()
    server.emit("on_mine")
    wanted = {"on_opt": 2, "on_get": 1}
    assert before.callback_errors == wanted
    assert server.stats().callback_errors == client.info()["callback_errors"]
    assert server.stats().callback_errors == {**wanted, "on_mine": 1}


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (ValueError("no such axis é\ud800"), "ValueError: no such axis é\ud800"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (BadText(), "BadText: (it cannot be shown)"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(("cmd", "payload", "name"), EVERY_CALLBACK)
def test_failures_are_error_replies_where_that_is_wanted(
    make_server: MakeServer,
    connect: Connect,
    cmd: str,
    payload: Any,
    name: str,
    problem: BaseException,
    text: str,
) -> None:
    server = make_server(
        data={"a": 1}, callback_errors="reply", accepted_versions=["0.2.2", "0.1.6"]
    )
    client = connect(server)
    normal = client.request(cmd, payload)
    assert normal["error_msg"] is None

    def raises(*values: Any) -> None:
        raise problem

    setattr(server, name, raises)
    for version in ("0.2.2", "0.1.6"):
        assert client.request(cmd, payload, version=version) == {
            "from": "tested",
            "to": "raw client",
            "cmd": cmd,
            "payload": {},
            "version": version,
            "error_msg": text,
            "msg": "Error encountered.",
        }
    assert server.stats().callback_errors == {name: 2}
    assert eventually(lambda: server.stats().errors[ErrorKind.HANDLER] == 2)
    setattr(server, name, None)
    assert client.request(cmd, payload) == normal


def test_data_is_not_taken_by_a_get_that_fails(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(data={"a": 1}, callback_errors="reply", empty_data_after_get=True)
    server.on_get = fails
    client = connect(server)
    assert client.request("GET")["error_msg"].startswith("ValueError")
    assert client.request("GET ARRAYS")["error_msg"].startswith("ValueError")
    server.on_get = None
    assert [client.get(), client.get()] == [{"a": 1}, {}]


def test_handlers_of_ones_own_and_failures(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(callback_errors="reply")
    server.on_mine = fails

    def handler(server: Any, message: Any, target: Any) -> None:
        if message["payload"].get("first"):
            server.socket.send_json({"sent": 1})
        server.emit("on_mine")
        if not message["payload"].get("first"):
            server.socket.send_json({"sent": 1})

    server.register_handler("MINE", handler)
    client = connect(server)
    for payload in ({}, {"first": 1}):
        assert client.request("MINE", payload)["error_msg"].startswith("ValueError: no such axis")
    server.on_mine = None
    assert client.request("MINE") == {"sent": 1}


def test_what_a_callback_emits_itself_is_its_own_affair(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(callback_errors="reply")
    server.on_opt = fails
    server.on_position_changed = lambda positions: server.emit("on_opt", positions)
    client = connect(server)
    assert client.request("SET", {"positions": 1})["error_msg"] is None
    assert server.stats().callback_errors == {"on_opt": 1}
    assert client.request("OPT", {"data": 1})["error_msg"].startswith("ValueError")


def test_emit_by_a_program_raises_nothing(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(callback_errors="reply")
    server.on_opt = fails
    server.emit("on_opt", 1)
    assert connect(server).request("SCAN")["error_msg"] is None
    assert server.stats().callback_errors == {"on_opt": 1}


@pytest.mark.parametrize("name", [name for _, _, name in EVERY_CALLBACK])
@pytest.mark.parametrize("callback", ASYNC, ids=lambda callback: type(callback).__name__)
def test_an_async_callback_is_refused(make_server: MakeServer, name: str, callback: Any) -> None:
    server = make_server(start=False)
    for give in (
        lambda: getattr(server, f"set_{name}")(callback),
        lambda: setattr(server, name, callback),
    ):
        with pytest.raises(TypeError, match=f"'{name}'.*must not be async.*threadsafe"):
            give()
        assert getattr(server, name) is None


class Endless:
    """What pretends to wrap something, and that something else, for ever."""

    def __getattr__(self, name: str) -> Endless:
        return Endless()

    def __call__(self, *arguments: Any) -> None: ...


@functools.wraps(fails)
def plain(*values: Any) -> None: ...


@functools.wraps(async_function)
def runs_it(*values: Any) -> None:
    """As decorators for Qt's slots do it, which make a plain function of an ``async def``."""
    asyncio.run(async_function(*values))


@pytest.mark.parametrize(
    "callback",
    [
        plain,
        runs_it,
        print,
        [].append,
        threading.Event().set,
        functools.partial(print, 1),
        Endless(),
        mock.Mock(),
        mock.MagicMock(),
        dict,
        threading.Thread,
        lambda value: asyncio.run(async_function(value)),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_plain_callbacks_are_taken(make_server: MakeServer, callback: Any) -> None:
    server = make_server(start=False)
    server.set_on_opt(callback)
    assert server.on_opt is callback
    server.on_scan = callback
    assert server.on_scan is callback


@pytest.mark.parametrize("how", ["log", "reply"])
def test_a_callback_that_returns_a_coroutine_has_failed(
    make_server: MakeServer, connect: Connect, caplog: pytest.LogCaptureFixture, how: Any
) -> None:
    server = make_server(callback_errors=how)
    server.set_on_opt(lambda value: async_function(value))
    reply = connect(server).request("OPT", {"data": 1})
    assert bool(reply["error_msg"]) == (how == "reply")
    assert server.stats().callback_errors == {"on_opt": 1}
    assert "on_opt returned a coroutine" in caplog.text
