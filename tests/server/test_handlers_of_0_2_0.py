"""Handlers of the names and in the style of 0.2.0, which answer through ``server.socket``."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import zmq
from support.peers import Connect
from support.serving import MakeServer
from support.waiting import LIMIT_S, eventually

import laplace_server.handlers
from laplace_server import ServerLHC
from laplace_server.handlers import handler_get
from laplace_server.protocol import make_message
from laplace_server.stats import CommandStats


@pytest.mark.parametrize(
    ("module", "function", "cmd"),
    [
        ("handler_info", "handle_info", "INFO"),
        ("handler_ping", "handle_ping", "PING"),
        ("handler_get", "handle_get", "GET"),
        ("handler_set", "handle_set", "SET"),
        ("handler_save", "handle_save", "SAVE"),
        ("handler_opt", "handle_opt", "OPT"),
        ("handler_scan", "handle_scan", "SCAN"),
        ("handler_set_actuators", "handle_set_actuators", "SET ACT"),
        ("handler_set_diagnostics", "handle_set_diagnostics", "SET DIAG"),
        ("handler_toggle_saving", "handle_toggle_saving_status", "TOGGLE SAVING"),
        (
            "handler_update_actuator_positions",
            "handle_update_actuator_positions",
            "UPDATE ACT POS",
        ),
        ("handler_stop", "handle_stop", "STOP"),
    ],
)
def test_the_modules_of_0_2_0(
    make_server: MakeServer, connect: Connect, module: str, function: str, cmd: str
) -> None:
    imported = importlib.import_module(f"laplace_server.handlers.{module}")
    handler = getattr(imported, function)
    assert getattr(laplace_server.handlers, module) is imported
    server = make_server(data={"a": 1})
    client = connect(server)
    keys = ("positions", "path", "data", "actuators", "diagnostics", "saving status")
    payload = dict.fromkeys(keys, 1)
    assert server._handlers[cmd] is handler
    if cmd != "STOP":
        normal = client.ask(cmd, payload)
        server._handlers[cmd] = handler
        assert client.ask(cmd, payload) == normal
        server._handlers["OTHER"] = handler
        assert client.ask("OTHER", payload)["error_msg"] is None
    reply = client.ask(cmd, payload)
    assert (reply["cmd"], reply["error_msg"]) == (cmd, None)


def test_handlers_of_the_names_of_0_2_0_stay_native(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(data={"a": 1})
    server._handlers["GET"] = handler_get.handle_get
    client = connect(server)
    assert client.get() == {"a": 1}
    assert eventually(lambda: server.stats().commands["GET"] == CommandStats(1, 0))


# ---- server.socket


def test_handlers_of_the_old_style(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()

    def old(server: ServerLHC, message: dict[str, Any], target: Any) -> None:
        reply = make_message(cmd="OLD", sender=server.name, target=target, payload={"old": 1})
        server.socket.send_json({**reply, "extra": [1]})

    server._handlers["OLD"] = old
    reply = connect(server).ask("OLD")
    assert (reply["payload"], reply["extra"], reply["to"]) == ({"old": 1}, [1], "tester")
    assert eventually(lambda: server.stats().commands["OLD"].python == 1)


@pytest.mark.parametrize(
    ("send", "received"),
    [
        (lambda socket: socket.send_json([1, {"a": None}]), b'[1, {"a": null}]'),
        (lambda socket: socket.send_json({"b": 1, "a": 2}), b'{"b":1,"a":2}'),
        (lambda socket: socket.send(b"\x00raw\xff"), b"\x00raw\xff"),
        (lambda socket: socket.send(bytearray(b"array")), b"array"),
        (lambda socket: socket.send(memoryview(b"view"), 0), b"view"),
        (lambda socket: socket.send(b""), b""),
        (lambda socket: socket.send_string("é"), "é".encode()),
        (lambda socket: socket.send_string("é", encoding="latin-1"), b"\xe9"),
    ],
)
def test_everything_that_can_be_sent(
    make_server: MakeServer, connect: Connect, send: Any, received: bytes
) -> None:
    server = make_server()
    server.register_handler("SEND", lambda server, *_: send(server.socket))
    client = connect(server)
    client.send("SEND")
    assert client.socket.recv() == received


def test_a_reply_is_sent_once_and_during_the_request_only(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()
    caught: list[int | None] = []

    def send(what: str) -> None:
        try:
            if what == "send_json":
                server.socket.send_json({})
            elif what == "send_string":
                server.socket.send_string("")
            else:
                server.socket.send(b"")
        except zmq.ZMQError as problem:
            caught.append(problem.errno)

    def twice(*arguments: Any) -> None:
        server.socket.send_json({"first": 1})
        for what in ("send_json", "send", "send_string"):
            send(what)

    for what in ("send_json", "send", "send_string"):
        send(what)
    assert caught == [zmq.EFSM] * 3
    server.register_handler("TWICE", twice)
    client = connect(server)
    assert client.ask("TWICE") == {"first": 1}
    assert caught == [zmq.EFSM] * 6
    send("send_json")
    assert caught == [zmq.EFSM] * 7


def test_a_reply_that_cannot_be_written_may_be_tried_again(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()

    def handler(server: ServerLHC, *_: Any) -> None:
        with pytest.raises(TypeError):
            server.socket.send_json({"a": object()})
        server.socket.send_json({"second": 1})

    server.register_handler("AGAIN", handler)
    assert connect(server).ask("AGAIN") == {"second": 1}


def test_a_reply_sent_before_an_exception_stays(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()

    def handler(server: ServerLHC, *_: Any) -> None:
        server.socket.send_json({"sent": 1})
        raise ValueError("afterwards")

    server.register_handler("BOTH", handler)
    client = connect(server)
    assert client.ask("BOTH") == {"sent": 1}
    assert client.ask("PING")["error_msg"] is None


def test_a_handler_may_stop_the_server(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    server.register_handler("END", lambda server, *_: server.stop() or {"bye": 1})
    assert connect(server).ask("END")["payload"] == {"bye": 1}
    server.join(LIMIT_S)
    assert not server.is_alive()
