"""Callbacks that fail: counted, shown, and told where that is wanted."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any
from unittest import mock

import pytest
from support.async_callables import ASYNC, async_function
from support.commands import COMMANDS, BadText
from support.peers import Connect
from support.serving import MakeServer
from support.waiting import eventually

from laplace_server.stats import ErrorKind

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
    normal = client.ask(cmd, payload)
    setattr(server, name, lambda *values: None)
    assert client.ask(cmd, payload) == normal
    assert server.stats().callback_errors == {}
    assert "callback_errors" not in client.info()
    setattr(server, name, fails)
    for count in (1, 2):
        assert client.ask(cmd, payload) == normal
        assert server.stats().callback_errors == {name: count}
        assert client.info()["callback_errors"] == {name: count}
        by_python = client.ask("INFO", {"long": 10**30})["payload"]
        assert by_python == client.info()
    server.publish("s", {})
    info = client.info()
    assert client.ask("INFO", {"long": 10**30})["payload"] == info
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
    assert client.ask("OPT", {"data": 1})["error_msg"] is None
    assert "name_list" in client.ask("INFO")["error_msg"]
    names.clear()
    assert client.info()["callback_errors"] == {"on_opt": 1}


def test_info_is_frozen_again_after_a_failure(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    server.on_opt = fails
    client = connect(server)
    client.ask("OPT", {"data": 1})

    def refreshes() -> int:
        before = server.stats().refreshes
        client.info()
        return server.stats().refreshes - before

    assert eventually(lambda: refreshes() == 0)


def test_failures_of_several_callbacks(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    server.on_opt = server.on_get = server.on_mine = fails
    client = connect(server)
    for cmd in ("OPT", "GET", "OPT"):
        client.ask(cmd, {"data": 1})
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
    normal = client.ask(cmd, payload)
    assert normal["error_msg"] is None

    def raises(*values: Any) -> None:
        raise problem

    setattr(server, name, raises)
    for version in ("0.2.2", "0.1.6"):
        assert client.ask(cmd, payload, version=version) == {
            "from": "tested",
            "to": "tester",
            "cmd": cmd,
            "payload": {},
            "version": version,
            "error_msg": text,
            "msg": "Error encountered.",
        }
    assert server.stats().callback_errors == {name: 2}
    assert eventually(lambda: server.stats().errors[ErrorKind.HANDLER] == 2)
    setattr(server, name, None)
    assert client.ask(cmd, payload) == normal


def test_data_is_not_taken_by_a_get_that_fails(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(data={"a": 1}, callback_errors="reply", empty_data_after_get=True)
    server.on_get = fails
    client = connect(server)
    assert client.ask("GET")["error_msg"].startswith("ValueError")
    assert client.ask("GET ARRAYS")["error_msg"].startswith("ValueError")
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
        assert client.ask("MINE", payload)["error_msg"].startswith("ValueError: no such axis")
    server.on_mine = None
    assert client.ask("MINE") == {"sent": 1}


def test_what_a_callback_emits_itself_is_its_own_affair(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(callback_errors="reply")
    server.on_opt = fails
    server.on_position_changed = lambda positions: server.emit("on_opt", positions)
    client = connect(server)
    assert client.ask("SET", {"positions": 1})["error_msg"] is None
    assert server.stats().callback_errors == {"on_opt": 1}
    assert client.ask("OPT", {"data": 1})["error_msg"].startswith("ValueError")


def test_emit_by_a_program_raises_nothing(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(callback_errors="reply")
    server.on_opt = fails
    server.emit("on_opt", 1)
    assert connect(server).ask("SCAN")["error_msg"] is None
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
    reply = connect(server).ask("OPT", {"data": 1})
    assert bool(reply["error_msg"]) == (how == "reply")
    assert server.stats().callback_errors == {"on_opt": 1}
    assert "on_opt returned a coroutine" in caplog.text
