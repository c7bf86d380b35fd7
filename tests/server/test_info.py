"""INFO tells what the server is now."""

from __future__ import annotations

import enum
import json
import sys
from typing import Any

import numpy as np
import pytest
from support.peers import Connect, Peer
from support.serving import MakeServer
from support.waiting import eventually

from laplace_server import ServerLHC
from laplace_server.stats import CommandStats


def test_info_in_wire_order(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(
        name="né", freedom=3, device="GAS", name_list=["a"], plottables_list=["b", 1]
    )
    reply = connect(server).ask("INFO", sender=["any", None])
    assert list(reply) == ["from", "to", "cmd", "payload", "version", "error_msg", "msg"]
    assert (reply["from"], reply["to"], reply["cmd"]) == ("né", ["any", None], "INFO")
    assert (reply["error_msg"], reply["msg"]) == (None, "Informations transmitted.")
    assert list(reply["payload"].items())[:6] == [
        ("device", "GAS"),
        ("freedom", 3),
        ("name", "né"),
        ("capabilities", server.capabilities),
        ("name_list", ["a"]),
        ("plottables_list", ["b", 1]),
    ]


def test_lists_changed_in_place(make_server: MakeServer, connect: Connect) -> None:
    names, plottables = ["a"], [["x"]]
    server = make_server(name_list=names, plottables_list=plottables)
    client = connect(server)
    client.info()
    names.append("b")
    plottables[0].append("y")
    assert client.info()["name_list"] == ["a", "b"]
    assert client.info()["plottables_list"] == [["x", "y"]]
    del names[:]
    assert client.info()["name_list"] == []
    assert server.name_list is names
    assert server.plottables_list is plottables
    server.name_list.append("c")
    server.capabilities.append("MORE")
    info = client.info()
    assert (info["name_list"], info["capabilities"][-1]) == (["c"], "MORE")
    del names, plottables
    server.name_list.append("d")
    assert client.info()["name_list"] == ["c", "d"]


def test_every_attribute_set_later(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    changes: dict[str, Any] = {
        "device": "CAMERA",
        "freedom": 7,
        "name": "renamed",
        "name_list": ["n"],
        "plottables_list": ["p"],
        "capabilities": ["C"],
    }
    for key, value in changes.items():
        setattr(server, key, value)
        assert client.info()[key] == value == getattr(server, key)
    assert client.info() == changes
    names = ["later"]
    server.set_name_list(names)
    assert client.info()["name_list"] == ["later"]
    names.append("still")
    assert client.info()["name_list"] == ["later", "still"]


@pytest.mark.parametrize("cmd", ["PING", "INFO", "GET", "SET", "SCAN", "NONE"])
def test_a_new_name_signs_every_reply_at_once(
    make_server: MakeServer, connect: Connect, cmd: str
) -> None:
    server = make_server()
    client = connect(server)
    for name in ("first", 'odd "\\name\u2028', "\x00TO\x00", "\ud800", "", "last"):
        server.name = name
        assert client.ask(cmd)["from"] == name
        assert server.name == name


def test_the_python_and_the_native_answer_are_the_same(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(name_list=["a"], plottables_list=[{"b": 1}])
    client = connect(server)
    native = client.ask("INFO")
    built_in = server._handlers["INFO"]
    server._handlers["INFO"] = lambda *arguments: built_in(*arguments)
    assert client.ask("INFO") == native
    assert eventually(lambda: server.stats().commands["INFO"] == CommandStats(1, 1))


def test_attributes_that_json_cannot_say_are_refused(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(name_list=["a"])
    client = connect(server)
    with pytest.raises(TypeError, match="name_list"):
        server.name_list = ["a", object()]
    assert client.info()["name_list"] == ["a"]
    names: list[Any] = ["a"]
    server.name_list = names
    names.append(b"x")
    assert "name_list" in client.ask("INFO")["error_msg"]
    server.name = "renamed"
    assert client.ask("PING")["from"] == "renamed"
    names.pop()
    assert client.info()["name_list"] == ["a"]
    assert client.info()["name"] == "renamed"


def looks_of_an_info(server: ServerLHC, client: Peer) -> int:
    before = server.stats().refreshes
    client.info()
    return server.stats().refreshes - before


def test_what_nobody_changes_is_frozen(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(name_list=["a"])
    client = connect(server)
    assert eventually(lambda: looks_of_an_info(server, client) == 0)
    assert server.name_list == ["a"]
    assert eventually(lambda: looks_of_an_info(server, client) == 0)


def test_lists_given_by_default_are_not_shared(make_server: MakeServer, connect: Connect) -> None:
    first, second = make_server(), make_server()
    first.name_list.append("mine")
    first.plottables_list.append("mine")
    first.data["mine"] = 1
    first.capabilities.append("MINE")
    client = connect(second)
    info = client.info()
    assert (info["name_list"], info["plottables_list"]) == ([], [])
    assert "MINE" not in info["capabilities"]
    assert client.get() == {}
    assert connect(first).info()["name_list"] == ["mine"]


class Kind(str, enum.Enum):
    MOTOR = "MOTOR"
    GAS = "GAS"


class Text(str):
    def __str__(self) -> str:
        return "not what it is"


KINDS: list[tuple[Any, Any]] = [(Kind.MOTOR, Kind.GAS), (Text("MOTOR"), Text("GAS"))]
if sys.version_info >= (3, 11):
    StrKind = enum.StrEnum("StrKind", {"MOTOR": "MOTOR", "GAS": "GAS"})
    KINDS.append((StrKind.MOTOR, StrKind.GAS))


@pytest.mark.parametrize(("motor", "gas"), KINDS, ids=lambda value: type(value).__name__)
def test_texts_of_a_class_of_their_own(
    make_server: MakeServer, connect: Connect, motor: Any, gas: Any
) -> None:
    server = make_server(
        name=motor,
        device=motor,
        name_list=[motor, [gas]],
        plottables_list=[{motor: gas}],
        accepted_versions=["0.2.2", Version.OLD],
    )
    server.register_handler(gas, lambda *_: {"mine": gas})
    client = connect(server)
    assert server.device == "MOTOR"
    assert server.device is motor

    def check(device: str, name: str) -> None:
        native = client.info()
        assert (native["device"], native["name"]) == (device, name)
        assert native["name_list"] == ["MOTOR", ["GAS"]]
        assert native["plottables_list"] == [{"MOTOR": "GAS"}]
        assert native["capabilities"][-1] == "GAS"
        assert client.ask("INFO", {"long": 10**30})["payload"] == native
        assert client.ask("PING")["from"] == name == server.name
        assert client.ask("SCAN")["from"] == name
        for cmd in ("PING", "SCAN", "INFO", "NONE"):
            assert client.ask(cmd, version="0.1.6")["version"] == "0.1.6"

    # The name is a thread's name: str() of what was given, as in 0.2.0.
    check("MOTOR", str(motor))
    server.device = gas
    server.name = gas
    assert server.device is gas
    check("GAS", str(gas))
    assert client.ask("GAS")["payload"] == {"mine": "GAS"}
    assert "expected 0.2.2 or 0.1.6," in client.ask("PING", version="1")["error_msg"]


class Version(str, enum.Enum):
    OLD = "0.1.6"


class Number(enum.IntEnum):
    TWO = 2


class Count(int):
    def __repr__(self) -> str:
        return "not what it is"


@pytest.mark.parametrize("freedom", [Number.TWO, Count(2), True, 2])
def test_numbers_of_a_class_of_their_own(
    make_server: MakeServer, connect: Connect, freedom: Any
) -> None:
    server = make_server(freedom=freedom)
    client = connect(server)
    shown = json.loads(json.dumps(bool(freedom) if freedom is True else int(freedom)))
    for _ in range(2):
        native = client.info()["freedom"]
        assert (native, type(native)) == (shown, type(shown))
        assert client.ask("INFO", {"long": 10**30})["payload"]["freedom"] is native
        assert server.freedom is freedom
        server.freedom = 1
        server.freedom = freedom


def test_a_number_of_numpy(make_server: MakeServer, connect: Connect) -> None:
    with pytest.raises(TypeError, match="'freedom' must be int, not int64"):
        make_server(freedom=np.int64(2))
    server = make_server()
    server.freedom = np.int64(2)  # type: ignore[assignment]
    client = connect(server)
    assert client.info()["freedom"] == 2
    assert client.ask("INFO", {"long": 10**30})["payload"]["freedom"] == 2
