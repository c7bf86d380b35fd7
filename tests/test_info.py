"""INFO tells what the server is now."""

from __future__ import annotations

from typing import Any

import pytest
from raw_client import RawClient

from conftest import Connect, MakeServer, eventually
from laplace_server import ServerLHC
from laplace_server.stats import CommandStats


def test_info_in_wire_order(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(
        name="né", freedom=3, device="GAS", name_list=["a"], plottables_list=["b", 1]
    )
    reply = connect(server).request("INFO", **{"from": ["any", None]})
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
        assert client.request(cmd)["from"] == name
        assert server.name == name


def test_the_python_and_the_native_answer_are_the_same(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(name_list=["a"], plottables_list=[{"b": 1}])
    client = connect(server)
    native = client.request("INFO")
    built_in = server._handlers["INFO"]
    server._handlers["INFO"] = lambda *arguments: built_in(*arguments)
    assert client.request("INFO") == native
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
    assert "name_list" in client.request("INFO")["error_msg"]
    names.pop()
    assert client.info()["name_list"] == ["a"]


def looks_of_an_info(server: ServerLHC, client: RawClient) -> int:
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
