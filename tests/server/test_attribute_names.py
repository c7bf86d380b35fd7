"""Derived classes and programs may use any name for attributes of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.attributes import OF_0_2_0, not_for_the_server
from support.peers import PATIENCE_S, Connect
from support.serving import MakeServer
from support.waiting import eventually

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.server.context import ENGINE

# Set there by the constructor, so a derived class may set them before.
PLAIN_IN_0_2_0 = {
    *("capabilities", "context", "device", "empty_data_after_get", "freedom", "name_list"),
    *("on_get", "on_opt", "on_position_changed", "on_saving_path_changed", "on_scan"),
    *("on_set_actuators", "on_set_diagnostics", "on_update_actuator_positions"),
    *("plottables_list", "socket", "time_poll_ms", "time_sleep_ms"),
    *("_address", "_data", "_data_lock", "_handlers", "_running", "_server_ip"),
}


PAYLOADS = {
    "SET": {"positions": [1.0]},
    "SAVE": {"path": "p"},
    "OPT": {"data": 1},
    "SCAN": {},
    "SET ACT": {"actuators": 1},
    "SET DIAG": {"diagnostics": 1},
    "UPDATE ACT POS": {"actuators": 1},
    "TOGGLE SAVING": {"saving status": True},
}


def names_of_ours() -> list[str]:
    """Every name that a server of ours has, and 0.2.0 and threads have not."""
    server = ServerLHC("named", "tcp://127.0.0.1:*", 1, "MOTOR")
    try:
        names = {*dir(ServerLHC), *vars(server)}
    finally:
        server.stop()
    thread = threading.Thread()
    names -= {*dir(threading.Thread), *vars(thread), *OF_0_2_0}
    names -= {name for name in names if name.startswith("__") and name.endswith("__")}
    # What it had once, and what somebody may call what it has now.
    once = ("_core", "_stopped", "_change_lock", "_running_code", "limits", "spin_us", "refresh")
    more = ("remote_stop", "accepted_versions", "engine", "_engine", "handlers", "lock", "core")
    return sorted({*names, *once, *more} - {ENGINE})


NAMES = names_of_ours()


def test_the_names_are_found() -> None:
    assert {"publish", "declare_stream", "register_handler", "stats", "epoch"} <= set(NAMES)


def check_that_all_works(server: ServerLHC, connect: Connect) -> None:
    """Every command, callbacks, a stream, and the end."""
    seen: list[Any] = []
    server.set_on_position_changed(seen.append)
    client = connect(server)
    assert client.ask("PING")["payload"] == {"PING": "PONG"}
    server.set_data({"x": [1]})
    for _ in range(2):
        assert client.get() == {"x": [1]}
    info = client.info()
    assert (info["device"], info["freedom"], info["name"]) == ("MOTOR", 1, "tested")
    assert (info["name_list"], info["plottables_list"]) == (["a"], [])
    for cmd, payload in PAYLOADS.items():
        assert client.ask(cmd, payload)["error_msg"] is None, cmd
    assert seen == [[1.0]]
    assert client.ask("SET", {})["error_msg"] == "Payload missing keys: ['positions']."
    assert client.ask("NONE")["error_msg"] == "Unknown command"
    server.set_on_get(lambda: server.set_data({"x": 2}))
    assert client.get() == {"x": 2}
    server.set_on_get(None)
    server._handlers["MINE"] = lambda *_: {"mine": 1}
    assert client.ask("MINE")["payload"] == {"mine": 1}
    address = f"tcp://127.0.0.1:{server.server_port}"
    with ClientLHC(address) as other, other.subscribe("data") as updates:
        assert other.get(arrays=True) == {"x": 2}
        server.set_data({"x": 3})
        assert updates.next(PATIENCE_S).data == {"x": 3}
        assert other.info()["streams"] == {"data": {"first": 1, "last": 1}}
    assert client.ask("INFO", {"long": 10**30})["payload"]["freedom"] == 1  # by Python
    server.freedom = 4
    server.name_list = ["b"]
    server.name = "renamed"
    info = client.info()
    assert (info["freedom"], info["name_list"], info["name"]) == (4, ["b"], "renamed")
    assert client.ask("STOP")["error_msg"] is None
    server.join(PATIENCE_S)
    assert not server.is_alive()
    assert not server.running.is_set()
    server.stop()


MADE: dict[str, Callable[[], Any]] = {
    "value": lambda: 5,
    "method": lambda: not_for_the_server,
    "dict": dict,
    "property": lambda: property(not_for_the_server),
}


# A property that raises is no callback.
CASES = [(name, kind) for name in NAMES for kind in MADE if name[:3] != "on_" or kind == "method"]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_class_attribute_of_any_name(
    make_server: MakeServer, connect: Connect, name: str, kind: str
) -> None:
    derived = type("Derived", (ServerLHC,), {name: MADE[kind]()})
    check_that_all_works(make_server(kind=derived, name_list=["a"]), connect)


def test_class_attributes_of_all_names(make_server: MakeServer, connect: Connect) -> None:
    derived = type("Derived", (ServerLHC,), dict.fromkeys(NAMES, not_for_the_server))
    check_that_all_works(make_server(kind=derived, name_list=["a"]), connect)


def test_names_of_a_class_beside_it(make_server: MakeServer, connect: Connect) -> None:
    mixed = type("Mixed", (), {**dict.fromkeys(NAMES, 5), "freedom": 2, "name_list": ["m"]})
    for bases in ((mixed, ServerLHC), (ServerLHC, mixed)):
        derived = type("Derived", bases, {})
        check_that_all_works(make_server(kind=derived, name_list=["a"]), connect)


SET_BEFORE = [*NAMES, *PLAIN_IN_0_2_0, "address", "server_ip", "server_port", "running", "name"]


@pytest.mark.parametrize("value", [5, ["z"], None, "text"], ids=str)
@pytest.mark.parametrize("name", sorted({*SET_BEFORE, "address_for_client", "anything"}))
def test_an_attribute_set_before_the_constructor(
    make_server: MakeServer, connect: Connect, name: str, value: Any
) -> None:
    class Derived(ServerLHC):
        def __init__(self, **arguments: Any) -> None:
            setattr(self, name, value)
            assert getattr(self, name) is value
            super().__init__(**arguments)

    server = make_server(kind=Derived, name_list=["a"])
    if name in NAMES:
        assert getattr(server, name) is value
    check_that_all_works(server, connect)


@pytest.mark.parametrize("name", NAMES)
def test_an_attribute_set_after_the_constructor(
    make_server: MakeServer, connect: Connect, name: str
) -> None:
    server = make_server(name_list=["a"])
    mine = object()
    setattr(server, name, mine)
    assert getattr(server, name) is mine
    check_that_all_works(server, connect)


@pytest.mark.parametrize("name", ["address", "server_ip", "server_port", "running"])
def test_what_0_2_0_does_not_let_be_set(make_server: MakeServer, name: str) -> None:
    server = make_server(start=False)
    before = getattr(server, name)
    with pytest.raises(AttributeError, match=name):
        setattr(server, name, "other")
    assert getattr(server, name) is before


def test_lists_set_before_leave_info_frozen(make_server: MakeServer, connect: Connect) -> None:
    class Derived(ServerLHC):
        def __init__(self, **arguments: Any) -> None:
            self.name_list = ["mine"]
            super().__init__(name_list=self.name_list, **arguments)

    server = make_server(kind=Derived)
    client = connect(server)

    def refreshes() -> int:
        before = server.stats().refreshes
        assert client.info()["name_list"] == ["mine"]
        return server.stats().refreshes - before

    assert eventually(lambda: refreshes() == 0)
    server.name_list.append("more")
    assert client.info()["name_list"] == ["mine", "more"]
