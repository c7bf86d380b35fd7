"""Handlers of one's own, built-in ones replaced, and old ones that use server.socket."""

from __future__ import annotations

import itertools
import json
import threading
from typing import Any

import pytest
import zmq
from support.async_callables import ASYNC, async_function
from support.commands import BadText
from support.peers import VERSION, Connect
from support.serving import MakeServer
from support.waiting import LIMIT_S, eventually

from laplace_server import ServerLHC
from laplace_server.stats import CommandStats, ErrorKind

BUILT_IN = [
    "INFO",
    "PING",
    "GET",
    "SET",
    "SAVE",
    "STOP",
    "OPT",
    "SCAN",
    "SET ACT",
    "UPDATE ACT POS",
    "SET DIAG",
    "TOGGLE SAVING",
    "GET ARRAYS",
    "SUBSCRIBE",
    "STATS",
]


def test_a_handler_returns_the_payload(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    seen: list[Any] = []

    def handler(*arguments: Any) -> dict[str, Any]:
        seen.append(arguments)
        return {"sum": sum(arguments[1]["payload"]["values"]), "nan": float("nan")}

    server.register_handler("ADD", handler)
    reply = connect(server).ask("ADD", {"values": [1, 2]}, sender={"odd": [1]})
    assert list(reply) == ["from", "to", "cmd", "payload", "version", "error_msg", "msg"]
    assert reply["payload"].pop("nan") != 0
    assert reply == {
        "from": "tested",
        "to": {"odd": [1]},
        "cmd": "ADD",
        "payload": {"sum": 3},
        "version": VERSION,
        "error_msg": None,
        "msg": None,
    }
    (given,) = seen
    assert given[0] is server
    assert given[1]["payload"] == {"values": [1, 2]}
    assert given[2] == {"odd": [1]}


@pytest.mark.parametrize("payload", [None, {}])
def test_nothing_returned_is_an_empty_reply(
    make_server: MakeServer, connect: Connect, payload: Any
) -> None:
    server = make_server()
    server.register_handler("NONE", lambda *_: payload)
    reply = connect(server).ask("NONE")
    assert (reply["payload"], reply["error_msg"], reply["cmd"]) == ({}, None, "NONE")


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (ValueError("wrong value"), "ValueError: wrong value"),
        (KeyError("key"), "KeyError: 'key'"),
        (RuntimeError("lone \ud800"), "RuntimeError: lone \ud800"),
        (SystemExit(1), "SystemExit: 1"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (BadText(), "BadText"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_handler_raises_is_the_error(
    make_server: MakeServer, connect: Connect, problem: BaseException, text: str
) -> None:
    server = make_server()

    def handler(*arguments: Any) -> None:
        raise problem

    server.register_handler("RAISE", handler)
    client = connect(server)
    for n in range(1, 4):
        reply = client.ask("RAISE")
        assert reply["error_msg"].startswith(text)
        assert (reply["cmd"], reply["payload"], reply["to"]) == ("RAISE", {}, "tester")
        assert eventually(lambda n=n: server.stats().errors[ErrorKind.HANDLER] == n)  # type: ignore[misc]
    assert client.ask("SCAN")["error_msg"] is None
    assert server.stats().queue_depth == 0


@pytest.mark.parametrize("payload", [1, "text", [], [1], True, 0, {"a": object()}, {"a": b""}])
def test_a_payload_that_is_none_is_an_error(
    make_server: MakeServer, connect: Connect, payload: Any
) -> None:
    server = make_server()
    server.register_handler("BAD", lambda *_: payload)
    client = connect(server)
    assert "TypeError" in client.ask("BAD")["error_msg"]
    assert client.ask("PING")["error_msg"] is None
    assert eventually(lambda: server.stats().errors[ErrorKind.HANDLER] == 1)


@pytest.mark.parametrize("cmd", ["PING", "INFO", "GET"])
def test_a_native_command_is_replaced_and_restored_at_once(
    make_server: MakeServer, connect: Connect, cmd: str
) -> None:
    server = make_server(data={"a": 1})
    client = connect(server)
    built_in = server._handlers[cmd]
    normal = client.ask(cmd)
    for _ in range(10):
        server.register_handler(cmd, lambda *_: {"mine": 1})
        assert client.ask(cmd)["payload"] == {"mine": 1}
        server._handlers[cmd] = built_in
        assert client.ask(cmd) == normal
    assert eventually(lambda: server.stats().commands[cmd] == CommandStats(native=11, python=10))


def test_a_subclass_handler_falls_back_to_the_built_in_one(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(data={"a": 1})
    built_in = dict(server._handlers)
    seen: list[str] = []

    def counted(server: ServerLHC, message: dict[str, Any], target: Any) -> Any:
        seen.append(message["cmd"])
        return built_in[message["cmd"]](server, message, target)

    client = connect(server)
    normal = {cmd: client.ask(cmd) for cmd in ("PING", "INFO", "GET", "SCAN")}
    for cmd in normal:
        server._handlers[cmd] = counted
    assert {cmd: client.ask(cmd) for cmd in normal} == normal
    assert seen == list(normal)


def test_the_mapping_is_live(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    assert list(server._handlers) == BUILT_IN == server.capabilities
    server._handlers["A"] = lambda *_: {"a": 1}
    server._handlers.update({"B": lambda *_: {"b": 1}})
    assert client.ask("A")["payload"] == {"a": 1}
    assert client.ask("B")["payload"] == {"b": 1}
    assert client.info()["capabilities"] == [*BUILT_IN, "A", "B"] == server.capabilities
    removed = server._handlers.pop("A")
    assert client.ask("A")["error_msg"] == "Unknown command"
    del server._handlers["PING"]
    assert client.ask("PING")["error_msg"] == "Unknown command"
    assert "PING" not in client.info()["capabilities"]
    assert "PING" not in server._handlers
    assert server._handlers.setdefault("A", removed) is removed
    assert client.ask("A")["payload"] == {"a": 1}
    assert len(server._handlers) == len(BUILT_IN) + 1
    with pytest.raises(KeyError):
        del server._handlers["none"]
    with pytest.raises(TypeError):
        server._handlers["none"] = None  # type: ignore[assignment]
    assert "A" in repr(server._handlers)


@pytest.mark.parametrize("cmd", ["", None, 1, ["A"]])
def test_a_command_is_a_text(make_server: MakeServer, cmd: Any) -> None:
    with pytest.raises(TypeError):
        make_server(start=False).register_handler(cmd, lambda *_: None)
    with pytest.raises(TypeError):
        make_server(start=False).register_handler("A", None)  # type: ignore[arg-type]


@pytest.mark.parametrize("cmd", ["é€𝄞", 'quo"te\\', "\ud800", "a\x00b", " ", "ping", "x" * 5000])
def test_odd_names_of_commands(make_server: MakeServer, connect: Connect, cmd: str) -> None:
    server = make_server()
    server.register_handler(cmd, lambda *_: {"ok": 1})
    client = connect(server)
    for _ in range(2):
        reply = client.ask(cmd)
        assert (reply["payload"], reply["cmd"]) == ({"ok": 1}, cmd)
    assert client.info()["capabilities"][-1] == cmd


def test_more_commands_than_are_counted(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    for n in range(300):
        server.register_handler(f"C{n}", lambda *_, n=n: {"n": n})
    client = connect(server)
    for n in (0, 100, 200, 299):
        assert client.ask(f"C{n}")["payload"] == {"n": n}
    assert eventually(
        lambda: sum(counts.python for counts in server.stats().commands.values()) == 4
    )
    assert server.stats().commands["C0"].python == 1
    assert len(client.info()["capabilities"]) == len(BUILT_IN) + 300


@pytest.mark.parametrize("handler", ASYNC, ids=lambda handler: type(handler).__name__)
def test_an_async_handler_is_refused(make_server: MakeServer, handler: Any) -> None:
    server = make_server(start=False)
    for give in (
        lambda: server.register_handler("A", handler),
        lambda: server._handlers.update({"A": handler}),
        lambda: server._handlers.__setitem__("A", handler),
        lambda: server._handlers.setdefault("A", handler),
        lambda: setattr(server, "_handlers", {"A": handler}),
    ):
        with pytest.raises(TypeError, match=r"'A' must not be async.*run_coroutine_threadsafe"):
            give()
        assert "A" not in server._handlers


def test_a_handler_that_returns_a_coroutine_is_an_error(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()
    server.register_handler("LATE", lambda *arguments: async_function(*arguments))  # type: ignore[arg-type, return-value]
    reply = connect(server).ask("LATE")
    assert "returned a coroutine" in reply["error_msg"]
    assert "run_coroutine_threadsafe" in reply["error_msg"]


# ---- protocol versions, sizes, permissions


def test_accepted_versions(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(data={"a": 1}, accepted_versions=("0.2.2", "0.2.1", "0.1.6"))
    server.register_handler("MINE", lambda *_: {})
    client = connect(server)
    for version in ("0.2.2", "0.2.1", "0.1.6"):
        for cmd in ("PING", "INFO", "GET", "SET", "SCAN", "MINE", "UNKNOWN COMMAND"):
            reply = client.ask(cmd, {"positions": 1}, version=version)
            assert reply["version"] == version, cmd
    server.set_on_get(lambda: None)
    assert client.ask("GET", version="0.1.6")["version"] == "0.1.6"
    for refused in ("0.2.3", "0.2", "", None, 0.2, ["0.2.2"], {"0.2.2": 1}, "0.2.2 "):
        reply = client.ask("PING", version=refused)
        assert reply["error_msg"]
        assert reply["version"] == VERSION
    assert eventually(lambda: server.stats().errors[ErrorKind.VERSION] == 6)
    assert eventually(lambda: server.stats().errors[ErrorKind.MALFORMED] == 2)


def test_by_default_one_version_is_accepted(make_server: MakeServer, connect: Connect) -> None:
    client = connect(make_server())
    assert (
        client.ask("PING", version="0.2.1")["error_msg"]
        == "Protocol version mismatch: expected 0.2.2, got 0.2.1."
    )
    assert client.ask("PING")["error_msg"] is None


@pytest.mark.parametrize("versions", [(), [""], [1], [None]])
def test_versions_that_cannot_be(make_server: MakeServer, versions: Any) -> None:
    with pytest.raises(ValueError, match="accepted_versions"):
        make_server(start=False, accepted_versions=versions)


def test_a_message_too_large_ends_its_connection_only(
    make_server: MakeServer, connect: Connect, transport: str
) -> None:
    server = make_server(max_message_bytes=10_000)
    seen: list[str] = []
    server.set_on_opt(seen.append)
    good, bad = connect(server), connect(server, kind=zmq.DEALER)
    good.ask("PING")
    bad.send("PING")
    bad.receive()
    assert eventually(lambda: server.stats().connections_total == 2)
    bad.send("OPT", {"data": "x" * 9000})
    assert bad.receive()["error_msg"] is None
    bad.send("OPT", {"data": "x" * 10_000})
    if transport == "tcp":  # libzmq says nothing
        assert "max_message_bytes" in bad.receive()["error_msg"]
    assert good.ask("OPT", {"data": "x" * 9000})["error_msg"] is None
    # It is closed and the client connects anew; what was too large never arrives.
    assert eventually(lambda: server.stats().connections_total == 3)
    bad.send("PING")
    assert bad.receive()["cmd"] == "PING"
    assert good.ask("PING")["error_msg"] is None
    assert eventually(lambda: server.stats().commands["OPT"].python == 2)
    assert len(seen) == 2


def test_no_limit_of_size(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(max_message_bytes=-1)
    seen: list[int] = []
    server.set_on_opt(lambda data: seen.append(len(data)))
    assert connect(server).ask("OPT", {"data": "x" * (1 << 20)})["error_msg"] is None
    assert seen == [1 << 20]


@pytest.mark.parametrize("allowed", [True, False])
def test_remote_stop(make_server: MakeServer, connect: Connect, allowed: bool) -> None:
    server = make_server(remote_stop=allowed)
    client = connect(server)
    reply = client.ask("STOP")
    if allowed:
        assert (reply["error_msg"], reply["msg"]) == (None, "Server stopping.")
        server.join(LIMIT_S)
        assert not server.is_alive()
    else:
        assert "not permitted" in reply["error_msg"]
        assert client.ask("PING")["error_msg"] is None
        assert eventually(lambda: server.stats().errors[ErrorKind.NOT_PERMITTED] == 1)
        assert server.is_alive()


def test_handlers_registered_while_requests_come(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    end = threading.Event()

    def register() -> None:
        for n in itertools.count():
            server.register_handler(f"C{n % 50}", lambda *_: {})
            server._handlers.pop(f"C{(n + 25) % 50}", None)
            if end.is_set():
                return

    thread = threading.Thread(target=register)
    thread.start()
    client = connect(server)
    try:
        for n in range(60):
            assert client.ask("PING")["payload"] == {"PING": "PONG"}
            reply = client.ask(f"C{n % 50}")
            assert reply["error_msg"] in (None, "Unknown command")
            assert json.dumps(client.info()["capabilities"])
    finally:
        end.set()
        thread.join()
