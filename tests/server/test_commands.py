"""The table of commands: what follows from a row, and a row that is new."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
from collections.abc import Callable
from typing import Any

import pytest
from support.async_callables import async_function
from support.peers import VERSION, Connect
from support.serving import MakeServer
from support.waiting import eventually

from laplace_server import ServerLHC, protocol
from laplace_server.client import AsyncClientLHC, ClientLHC
from laplace_server.errors import RemoteError
from laplace_server.handlers import builtin_handlers
from laplace_server.server.attributes import Attribute
from laplace_server.server.callbacks import Callback, checked_callback
from laplace_server.stats import CommandStats, ErrorKind
from laplace_server.wire import commands
from laplace_server.wire.commands import COMMANDS, Command

needs_pyqt6 = pytest.mark.skipif(
    importlib.util.find_spec("PyQt6") is None, reason="PyQt6 is not installed"
)

HOME = Command(
    "HOME",
    "Homing.",
    "At home.",
    key="axis",
    callback="on_home",
    converts=int,
    polled=True,
)


class HomingServer(ServerLHC):
    """With the two public names of a command."""

    on_home = Attribute[Callback | None]("HOME calls it.", default=None)

    def set_on_home(self, func: Callable[[int], None] | None) -> None:
        self.on_home = checked_callback(func, "on_home")


class HomingClient(ClientLHC):
    def home(self, axis: Any, *, timeout_s: float | None = None) -> None:
        self._ask(self._requests.of(HOME, axis), timeout_s)


class AsyncHomingClient(AsyncClientLHC):
    async def home(self, axis: Any, *, timeout_s: float | None = None) -> None:
        await self._ask(self._requests.of(HOME, axis), timeout_s)


@pytest.fixture
def one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, HOME.name, HOME)


@pytest.mark.usefixtures("one_more")
def test_a_new_row_is_served_counted_listed_and_asked_for(
    make_server: MakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = make_server(kind=HomingServer)
    address = f"tcp://127.0.0.1:{server.server_port}"
    seen: list[Any] = []

    async def ask_async() -> None:
        async with AsyncHomingClient(address) as client:
            await client.home(True)
            with pytest.raises(TypeError):
                await client.home(None)

    with HomingClient(address) as client:
        client.home(0)  # without a callback
        server.set_on_home(seen.append)
        client.home("1")
        asyncio.run(ask_async())
        with pytest.raises(ValueError, match="x"):
            client.home("x")
        assert [str(each) for each in seen] == ["1", "1"]
        with pytest.raises(RemoteError, match=r"Payload missing keys: \['axis'\]"):
            client.request("HOME", {"axes": 1})
        assert client.info()["capabilities"][-1] == "HOME" == server.capabilities[-1]
    assert eventually(lambda: server.stats().commands["HOME"] == CommandStats(native=0, python=4))
    assert server.stats().errors[ErrorKind.PAYLOAD] == 1
    levels = {r.levelno for r in caplog.records if "Received 'HOME'" in r.getMessage()}
    assert levels == {logging.DEBUG}


@pytest.mark.usefixtures("one_more")
def test_a_new_callback_is_one_like_the_others(make_server: MakeServer) -> None:
    server = make_server(kind=HomingServer, callback_errors="reply")
    for give in (server.set_on_home, lambda func: setattr(server, "on_home", func)):
        with pytest.raises(TypeError, match="async"):
            give(async_function)
    with pytest.raises(TypeError, match="callable"):
        server.set_on_home("not callable")  # type: ignore[arg-type]

    def fail(axis: int) -> None:
        raise ValueError(f"no axis {axis}")

    server.on_home = fail
    with (
        HomingClient(f"tcp://127.0.0.1:{server.server_port}") as client,
        pytest.raises(RemoteError, match="ValueError: no axis 7"),
    ):
        client.home(7)
    assert server.stats().callback_errors == {"on_home": 1}


@pytest.mark.usefixtures("one_more")
def test_messages_of_a_new_row() -> None:
    request = protocol.command_request(HOME, "me", "you", 1)
    assert (request["cmd"], request["payload"], request["msg"]) == ("HOME", {"axis": 1}, "Homing.")
    reply = protocol.command_reply(HOME, "you", "me")
    assert (reply["cmd"], reply["payload"], reply["msg"]) == ("HOME", {}, "At home.")


def test_a_row_gives_its_callback_nothing_a_value_or_the_message(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        Command("NOTHING", callback="on_test"),
        Command("VALUE", key="v", callback="on_test"),
        Command("MESSAGE", key="v", callback="on_test", gives_message=True),
    ]
    for row in rows:
        monkeypatch.setitem(COMMANDS, row.name, row)
    server = make_server()
    seen: list[tuple[Any, ...]] = []
    vars(server)["on_test"] = lambda *given: seen.append(given)
    with ClientLHC(f"tcp://127.0.0.1:{server.server_port}") as client:
        for row in rows:
            client.request(row.name, {"v": [1]})
    assert seen[:2] == [(), ([1],)]
    (message,) = seen[2]
    assert (message["cmd"], message["payload"]) == ("MESSAGE", {"v": [1]})


def test_a_row_without_callback_needs_a_handler(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COMMANDS, "NOBODY", Command("NOBODY"))
    with pytest.raises(LookupError, match="'NOBODY' has neither a callback nor a handler"):
        make_server(start=False)


# ---- the rows there are

CALLBACKS = sorted({row.callback for row in COMMANDS.values() if row.callback is not None})
# What 0.2.0 calls these in its controller.
SLOTS = {"on_update_actuator_positions": "on_new_actuator_pos_received"}


def test_names_are_those_of_the_protocol() -> None:
    constants = {value for name, value in vars(protocol).items() if name.startswith("CMD_")}
    assert constants == set(COMMANDS) == {row.name for row in COMMANDS.values()}
    assert list(builtin_handlers()) == list(COMMANDS)
    assert builtin_handlers() == builtin_handlers()  # the loop knows them by what they are


@pytest.mark.parametrize("callback", CALLBACKS)
def test_each_callback_has_its_public_names(callback: str, make_server: MakeServer) -> None:
    attribute = getattr(ServerLHC, callback)
    assert isinstance(attribute, Attribute)
    assert attribute.__doc__
    server = make_server(start=False)
    assert getattr(server, callback) is None
    setter = getattr(server, f"set_{callback}")
    setter(print)
    assert getattr(server, callback) is print
    assert setter.__doc__


@needs_pyqt6
@pytest.mark.parametrize("callback", CALLBACKS)
def test_each_callback_has_a_slot(callback: str) -> None:
    from laplace_server.server_controller import ServerController

    assert callable(getattr(ServerController, SLOTS.get(callback, callback)))


def test_clients_ask_for_each_command() -> None:
    methods = {
        "INFO": "info",
        "PING": "ping",
        "GET": "get",
        "SET": "set",
        "SAVE": "save",
        "STOP": "stop_server",
        "OPT": "opt",
        "SCAN": "scan",
        "SET ACT": "set_actuators",
        "UPDATE ACT POS": "update_actuator_positions",
        "SET DIAG": "set_diagnostics",
        "TOGGLE SAVING": "toggle_saving",
        "GET ARRAYS": "get",
        "SUBSCRIBE": "subscribe",
        "STATS": "stats",
        "HALT": "halt",
    }
    assert list(methods) == list(COMMANDS)
    for kind in (ClientLHC, AsyncClientLHC):
        assert all(getattr(kind, name).__doc__ for name in methods.values())


def test_what_clients_make_of_values() -> None:
    assert commands.SAVE.converts is os.fspath
    assert commands.TOGGLE_SAVING.converts is bool
    polled = {row.name for row in COMMANDS.values() if row.polled}
    assert polled == {"INFO", "PING", "GET", "GET ARRAYS", "STATS"}


def test_replies_of_callbacks_are_signed_and_addressed_by_each_request(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(accepted_versions=(VERSION, "9.9"))
    client = connect(server)
    names: list[Any] = [
        "1",
        1,
        1.0,
        True,
        "é",
        "\ud800",
        "a" * 1000,
        *map(str, range(200)),
        [1],
        "1",
    ]
    for _ in range(2):
        for name in names:
            for version in (VERSION, "9.9"):
                reply = client.ask("SET", {"positions": [1]}, sender=name, version=version)
                expected = protocol.make_set_reply(server.name, name)
                assert reply == {**expected, "version": version}
                assert type(reply["to"]) is type(name)
                assert list(reply) == list(expected)
        server.name += " renamed"
