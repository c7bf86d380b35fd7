"""HALT: answered beside callbacks, and only where the program has said what it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from support.async_callables import async_function
from support.peers import PATIENCE_S, Connect, Peer, address_of, request
from support.serving import Gate, MakeServer, client_of
from support.waiting import eventually

from laplace_server import ServerLHC
from laplace_server.errors import NotSupported, RemoteError
from laplace_server.protocol import make_halt, make_halt_reply
from laplace_server.stats import ErrorKind


def test_halt_is_a_command_where_there_is_a_callback(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()
    client = connect(server)
    usual = list(server.capabilities)
    assert client.ask("HALT")["error_msg"] == "Unknown command"
    assert "HALT" not in client.info()["capabilities"]
    calls: list[str] = []
    for name in ("a", "b"):
        server.set_on_halt(lambda name=name: calls.append(name))
        reply = client.ask("HALT")
        assert reply == make_halt_reply("tested", "tester")
        assert client.info()["capabilities"] == [*usual, "HALT"] == server.capabilities
    assert calls == ["a", "b"]
    server.set_on_halt(None)
    assert client.ask("HALT")["error_msg"] == "Unknown command"
    assert client.info()["capabilities"] == usual == server.capabilities
    server.set_on_halt(None)


def test_messages() -> None:
    asked = make_halt("me", "you")
    assert (asked["cmd"], asked["payload"], asked["msg"]) == ("HALT", {}, "Halt request.")
    reply = make_halt_reply("you", "me")
    assert (reply["cmd"], reply["payload"], reply["msg"]) == ("HALT", {}, "Halted.")


def test_what_is_no_callback_is_refused(make_server: MakeServer) -> None:
    server = make_server(start=False)
    with pytest.raises(TypeError, match="'on_halt': a callback must be callable"):
        server.set_on_halt(5)
    with pytest.raises(TypeError, match="must not be async"):
        server.set_on_halt(async_function)
    assert "HALT" not in server.capabilities


def test_halt_while_a_callback_runs(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(data={"positions": [0.0]})
    gate = Gate()
    threads: list[int] = []
    server.set_on_position_changed(gate)
    server.set_on_halt(lambda: threads.append(threading.get_ident()))
    busy, other = connect(server), connect(server)
    busy.send(request("SET", {"positions": [1]}))
    gate.wait_begun()
    for _ in range(3):
        assert other.ask("HALT")["error_msg"] is None
    (halting,) = set(threads)
    assert halting not in (server.ident, threading.get_ident())
    assert other.get() == {"positions": [0.0]}
    gate.open()
    assert busy.receive()["error_msg"] is None


def test_halt_that_only_python_can_read(make_server: MakeServer, connect: Connect) -> None:
    """It waits for callbacks, as what is read by Python does, and is carried out all the same."""
    server = make_server()
    calls: list[int] = []
    server.set_on_halt(lambda: calls.append(1))
    body = request("HALT", {"long": 10**30}).replace(b'"HALT"', b'"\\u0048ALT"')
    assert connect(server).ask(body) == make_halt_reply("tested", "tester")
    assert calls == [1]


@pytest.mark.parametrize("callback_errors", ["log", "reply"])
@pytest.mark.parametrize("odd", [False, True])
def test_a_halt_that_failed_is_told_and_counted(
    make_server: MakeServer, connect: Connect, callback_errors: str, odd: bool
) -> None:
    server = make_server(callback_errors=callback_errors)

    def fail() -> None:
        raise OSError("no motor")

    server.set_on_halt(fail)
    client = connect(server)
    body = request("HALT")
    body = body.replace(b'"HALT"', b'"\\u0048ALT"') if odd else body
    assert client.ask(body)["error_msg"] == "OSError: no motor"
    server.set_on_halt(lambda: async_function())
    assert "returned a coroutine" in client.ask(body)["error_msg"]
    assert server.stats().callback_errors == {"on_halt": 2} == client.info()["callback_errors"]
    # What is counted is counted after the reply has left.
    assert eventually(lambda: server.stats().errors[ErrorKind.HANDLER] == 2)
    server.set_on_halt(lambda: None)
    assert client.ask(body)["error_msg"] is None


def test_what_ends_a_thread_elsewhere_ends_nothing_here(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()

    def leave() -> None:
        raise SystemExit(1)

    server.set_on_halt(leave)
    client = connect(server)
    for _ in range(2):
        assert client.ask("HALT")["error_msg"].startswith("SystemExit")
    assert server.stats().callback_errors == {"on_halt": 2}


def test_a_halt_of_the_program_s_own(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    server.register_handler("HALT", lambda *_: {"mine": True})
    client = connect(server)
    assert client.ask("HALT")["payload"] == {"mine": True}
    server.set_on_halt(None)  # takes away its own only
    assert client.ask("HALT")["payload"] == {"mine": True}
    server.set_on_halt(lambda: None)
    assert client.ask("HALT")["payload"] == {}


def test_stop_from_on_halt(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    took: list[float] = []

    def stop() -> None:
        begun = time.monotonic()
        server.stop()
        took.append(time.monotonic() - begun)

    server.set_on_halt(stop)
    connect(server).send(request("HALT"))
    server.join(PATIENCE_S)
    assert not server.is_alive()
    assert len(took) == 1


def test_a_server_of_a_class_with_names_like_these(
    make_server: MakeServer, connect: Connect
) -> None:
    class Derived(ServerLHC):
        on_halt = "mine"
        moving = "mine"

        def begin_move(self) -> str:
            return "mine"

    server = make_server(kind=Derived)
    server.on_halt = "still mine"
    server.set_on_halt(lambda: None)
    assert connect(server).ask("HALT")["error_msg"] is None
    assert (server.on_halt, server.begin_move(), server.moving) == ("still mine", "mine", "mine")


def test_clients_are_told_that_there_is_none(make_server: MakeServer) -> None:
    server = make_server()
    with client_of(server) as client:
        with pytest.raises(NotSupported, match="cannot be halted"):
            client.halt()
        with pytest.raises(RemoteError, match="Unknown command"):
            client.request("HALT")


@pytest.fixture
def hanging(make_server: MakeServer) -> Iterator[tuple[Any, Gate]]:
    """A server whose ``on_halt`` has been called and does not come back before the gate is open."""
    server = make_server(data={"positions": [0.0]})
    gate = Gate()
    server.set_on_halt(gate)
    peer = Peer(address_of(server), zmq.DEALER)
    peer.send(request("HALT"))
    gate.wait_begun()
    yield server, gate
    gate.open()
    peer.close()


def test_nothing_else_waits_for_a_halt_that_hangs(
    hanging: tuple[Any, Gate], connect: Connect
) -> None:
    server, gate = hanging
    with client_of(server) as client:
        running = client.stats()["running"]
        assert running["what"] == "HALT (on_halt)"
        assert running["seconds"] >= 0
        with client.subscribe("data") as subscription:
            server.set_data({"positions": [1.0]})
            assert client.get() == {"positions": [1.0]}
            assert subscription.next(timeout=PATIENCE_S).data == {"positions": [1.0]}
        client.set([2.0])
        gate.open()
        assert eventually(lambda: client.stats()["running"] is None)


def test_a_halt_that_hangs_is_told_by_stop(
    hanging: tuple[Any, Gate], caplog: pytest.LogCaptureFixture
) -> None:
    server, gate = hanging
    started = time.monotonic()
    server.stop()
    server.join(PATIENCE_S)
    assert not server.is_alive()
    assert time.monotonic() - started < PATIENCE_S
    told = [each.getMessage() for each in caplog.records if "still running" in each.getMessage()]
    assert told == [
        "[Server tested] Stopped while HALT (on_halt) is still running; its thread ends with it."
    ]
    gate.open()


def test_one_halt_after_the_other(hanging: tuple[Any, Gate], connect: Connect) -> None:
    server, gate = hanging
    with client_of(server) as second:
        halting = threading.Thread(target=second.halt)
        halting.start()
        assert eventually(lambda: server.stats().queue_depth == 2)
        gate.open()
        halting.join(PATIENCE_S)
        assert not halting.is_alive()
    gate.wait_begun()  # the second time


def test_halt_where_no_thread_can_be_started(
    make_server: MakeServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server()
    calls: list[int] = []
    server.set_on_halt(lambda: calls.append(1))
    with monkeypatch.context() as patched:
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if "halt" in thread.name:
                raise RuntimeError("can't start new thread")
            start(thread)

        patched.setattr(threading.Thread, "start", refuse)
        assert connect(server).ask("HALT")["error_msg"] is None
    assert connect(server).ask("HALT")["error_msg"] is None
    assert calls == [1, 1]


def test_a_registered_handler_comes_back(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    server.register_handler("HALT", lambda server, message, target: {"mine": True})
    server.set_on_halt(lambda: None)
    server.set_on_halt(lambda: None)
    assert client.ask("HALT")["payload"] == {}
    server.set_on_halt(None)
    assert client.ask("HALT")["payload"] == {"mine": True}
    server.set_on_halt(None)
    assert client.ask("HALT")["payload"] == {"mine": True}
