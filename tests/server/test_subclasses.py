"""Classes derived from ServerLHC, as programs for 0.2.0 have them: with names of any kind."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
from support.async_callables import async_function
from support.attributes import not_for_the_server
from support.isolated import environment
from support.machine import within
from support.original import require_original
from support.peers import PATIENCE_S, Connect, Peer
from support.serving import MakeServer
from support.waiting import eventually

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.stats import CommandStats

SHADOWS: dict[str, Any] = {
    "freedom": 7,
    "device": "GAS",
    "name": "of the class",
    "name_list": ["of the class"],
    "plottables_list": ["of the class"],
    "capabilities": ["of the class"],
    "empty_data_after_get": True,
    "on_get": None,
    "on_position_changed": None,
    "time_poll_ms": None,
    "address": "of the class",
    "server_ip": "of the class",
    "running": "of the class",
    "socket": None,
    "_handlers": None,
}


@pytest.mark.parametrize("as_method", [False, True], ids=["value", "method"])
def test_class_attributes_that_0_2_0_has(
    make_server: MakeServer, connect: Connect, as_method: bool
) -> None:
    members = dict.fromkeys(SHADOWS, not_for_the_server) if as_method else SHADOWS
    derived = type("Derived", (ServerLHC,), members)
    server = make_server(kind=derived, name_list=["a"], data={"a": 1})
    # The port can be told from what 0.2.0 has as a plain attribute only.
    client = connect(server)
    for _ in range(2):
        assert client.get() == {"a": 1}
    info = client.info()
    assert info.pop("capabilities") == list(server._handlers)
    assert info == {
        "device": "MOTOR",
        "freedom": 1,
        "name": "tested",
        "name_list": ["a"],
        "plottables_list": [],
    }
    changes = {"device": "CAMERA", "freedom": 3, "name": "new", "name_list": [1]}
    changes |= {"plottables_list": [2], "capabilities": ["C"]}
    for name, value in changes.items():
        setattr(server, name, value)
        assert client.info()[name] == value == getattr(server, name)
    server.name_list.append("in place")
    assert client.info()["name_list"] == [1, "in place"]
    assert client.ask("PING")["from"] == "new"
    stats = server.stats().commands
    assert stats["INFO"].python == stats["GET"].python == 0
    server.empty_data_after_get = True
    assert [client.get(), client.get()] == [{"a": 1}, {}]
    server.on_get = lambda: server.set_data({"called": 1})
    assert client.get() == {"called": 1}
    server.set_on_get(None)
    server.set_data({"b": 1})
    assert client.get() == {"b": 1}


def test_properties_of_what_info_shows(make_server: MakeServer, connect: Connect) -> None:
    class Derived(ServerLHC):
        axes = ["x"]  # noqa: RUF012

        @property
        def freedom(self) -> int:  # type: ignore[override]
            return len(self.axes)

        @freedom.setter
        def freedom(self, value: int) -> None:
            self.given = value

        @property
        def name_list(self) -> list[str]:  # type: ignore[override]
            return [*self.axes]

        @name_list.setter
        def name_list(self, names: list[str]) -> None:
            pass

    server = make_server(kind=Derived, freedom=5)
    client = connect(server)
    assert server.given == 5
    assert (client.info()["freedom"], client.info()["name_list"]) == (1, ["x"])
    server.axes.append("y")
    server.device = "GAS"
    info = client.info()
    assert (info["freedom"], info["name_list"], info["device"]) == (2, ["x", "y"], "GAS")


def test_a_property_in_the_place_of_the_data(make_server: MakeServer, connect: Connect) -> None:
    class Derived(ServerLHC):
        reads = 0

        @property
        def data(self) -> dict[str, Any]:
            self.reads += 1
            return {**super().data, "reads": self.reads, "array": np.array([1, 2])}

    server = make_server(kind=Derived, data={"a": 1})
    client = connect(server)
    array = [1, 2]
    assert client.get() == {"a": 1, "reads": 1, "array": array}
    assert client.get() == {"a": 1, "reads": 2, "array": array}
    server.set_data({"b": 1}, copy=True)
    assert client.get() == {"b": 1, "reads": 3, "array": array}
    with ClientLHC(f"tcp://127.0.0.1:{server.server_port}") as other:
        assert other.get(arrays=True) == {"b": 1, "reads": 4, "array": array}
    server.empty_data_after_get = True
    assert client.get() == {"b": 1, "reads": 5, "array": array}
    assert client.get() == {"reads": 6, "array": array}


def test_data_of_the_class(make_server: MakeServer, connect: Connect) -> None:
    derived = type("Derived", (ServerLHC,), {"data": {"of": "the class"}})
    client = connect(make_server(kind=derived, data={"a": 1}))
    assert client.get() == {"of": "the class"}


def test_an_emit_of_its_own(make_server: MakeServer, connect: Connect) -> None:
    class Derived(ServerLHC):
        def __init__(self, **arguments: Any) -> None:
            self.emitted: list[Any] = []
            super().__init__(**arguments)

        def emit(self, callback_name: str, *args: Any) -> None:
            self.emitted.append((callback_name, *args))
            super().emit(callback_name, *args)

    moved: list[Any] = []
    server = make_server(kind=Derived)
    server.on_position_changed = moved.append
    client = connect(server)
    assert client.get() == {}
    client.ask("SET", {"positions": 1})
    assert (server.emitted, moved) == ([("on_get",), ("on_position_changed", 1)], [1])


def test_an_emit_that_is_set(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    client.get()
    emitted: list[Any] = []
    server.emit = lambda *values: emitted.append(values)  # type: ignore[method-assign]
    client.get()
    assert emitted == [("on_get",)]


def test_a_set_data_of_its_own(make_server: MakeServer, connect: Connect) -> None:
    class Derived(ServerLHC):
        def set_data(self, new_data: dict[Any, Any], copy: bool = False) -> None:
            super().set_data({**new_data, "stamped": True}, copy)

    server = make_server(kind=Derived, data={"a": 1})
    client = connect(server)
    assert client.get() == {"a": 1, "stamped": True}
    server.set_data({"b": 1})
    assert client.get() == {"b": 1, "stamped": True}
    server.empty_data()
    assert client.get() == {"stamped": True}


def test_run_start_and_stop_of_its_own(make_server: MakeServer, connect: Connect) -> None:
    class Derived(ServerLHC):
        def __init__(self, **arguments: Any) -> None:
            self.calls: list[str] = []
            super().__init__(**arguments)

        def start(self) -> None:
            self.calls.append("start")
            super().start()

        def run(self) -> None:
            self.calls.append("run")
            super().run()
            self.calls.append("ran")

        def stop(self) -> None:
            self.calls.append("stop")
            super().stop()

    server = make_server(kind=Derived)
    assert connect(server).ask("STOP")["error_msg"] is None
    server.join(PATIENCE_S)
    assert server.calls == ["start", "run", "ran"]  # in 0.2.0 a client's STOP does not call stop()
    server.stop()
    assert server.calls == ["start", "run", "ran", "stop"]


def test_handlers_assigned_as_a_whole(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    server._handlers = {**server._handlers, "MINE": lambda *_: {"mine": 1}}  # type: ignore[assignment]
    assert client.ask("MINE")["payload"] == {"mine": 1}
    server._handlers["MORE"] = lambda *_: {"more": 1}
    assert client.ask("MORE")["payload"] == {"more": 1}
    server._handlers |= {"LAST": lambda *_: {"last": 1}}
    assert client.ask("LAST")["payload"] == {"last": 1}
    assert client.info()["capabilities"][-3:] == ["MINE", "MORE", "LAST"]
    for cmd in ("PING", "GET", "INFO"):
        assert client.ask(cmd)["error_msg"] is None
        assert eventually(lambda cmd=cmd: server.stats().commands[cmd].native >= 1)  # type: ignore[misc]
    with pytest.raises(TypeError, match="callable"):
        server._handlers = {"BAD": None}  # type: ignore[assignment]
    with pytest.raises((TypeError, ValueError)):
        server._handlers = None  # type: ignore[assignment]
    assert client.ask("LAST")["payload"] == {"last": 1}


def test_a_setattr_of_its_own(make_server: MakeServer, connect: Connect) -> None:
    class Derived(ServerLHC):
        def __setattr__(self, name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

    server = make_server(kind=Derived, data={"a": 1})
    client = connect(server)
    for name, value in {"freedom": 3, "device": "GAS", "name_list": ["b"], "name": "new"}.items():
        setattr(server, name, value)
        assert client.info()[name] == value == getattr(server, name)
    server.on_get = lambda: server.set_data({"called": 1})
    assert client.get() == {"called": 1}
    server.on_get = None
    server.empty_data_after_get = True
    assert [client.get(), client.get()] == [{"called": 1}, {}]
    with pytest.raises(TypeError, match="async"):
        server.on_opt = async_function


def test_attributes_may_be_deleted(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    server.on_opt = server.on_get = print
    for name in ("on_opt", "on_get", "on_saving_path_changed"):
        delattr(server, name)
        with pytest.raises(AttributeError, match=name):
            getattr(server, name)
        with pytest.raises(AttributeError, match=name):
            delattr(server, name)
    assert client.ask("OPT", {"data": 1})["error_msg"] is None
    assert client.get() == {}


def test_what_is_not_overridden_stays_native(make_server: MakeServer, connect: Connect) -> None:
    class Derived(ServerLHC):
        freedom = 2

        def set_on_get(self, func: Any) -> None:
            super().set_on_get(func)

        def publish(self) -> None:  # type: ignore[override]
            raise AssertionError

    server = make_server(kind=Derived)
    client: Peer = connect(server)
    for cmd in ("PING", "GET", "INFO"):
        client.ask(cmd)
        assert eventually(lambda cmd=cmd: server.stats().commands[cmd] == CommandStats(1, 0))  # type: ignore[misc]


# ---- beside the original

PROGRAM = """
import json, os, socket, sys
if sys.argv[1]: sys.path.insert(0, sys.argv[1])
import zmq
from laplace_server.server_lhc import ServerLHC

seen = []

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

class Attributes(ServerLHC):
    name, device, freedom = "class", "GAS", 9
    name_list, plottables_list = ["class"], ["class"]
    empty_data_after_get, on_get, on_position_changed = True, None, None
    time_poll_ms = time_sleep_ms = 1

class Methods(ServerLHC):
    def on_get(self): seen.append("on_get")
    def on_position_changed(self, value): seen.append(value)
    def freedom(self): return 3

class Before(ServerLHC):
    def __init__(self, *arguments):
        self.freedom, self.device, self.name_list, self.plottables_list = 8, "GAS", ["b"], ["b"]
        self.on_get = self.on_position_changed = lambda *values: seen.append(values)
        self.empty_data_after_get, self.capabilities, self.socket, self._handlers = True, [], 1, {}
        super().__init__(*arguments)

class Properties(ServerLHC):
    _freedom = 1
    freedom = property(
        lambda self: self._freedom + 100, lambda self, value: setattr(self, "_freedom", value)
    )
    data = property(lambda self: {"computed": len(seen)})

class Name(ServerLHC):
    name = property(lambda self: self._mine + "!", lambda self, name: setattr(self, "_mine", name))

class Data(ServerLHC):
    data = {"class": 1}

class Emit(ServerLHC):
    def emit(self, name, *values):
        seen.append([name, *map(str, values)])
        super().emit(name, *values)

class SetData(ServerLHC):
    def set_data(self, data):
        seen.append("set_data")
        super().set_data({**data, "own": 1})

class Empty(ServerLHC):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.freedom = 6
        self.name_list.append("later")
        self.name = "later"
        self.on_position_changed = lambda value: seen.append(value)

context = zmq.Context()
for kind in (Attributes, Methods, Before, Properties, Name, Data, Emit, SetData, Empty):
    del seen[:]
    port = free_port()
    server = kind("given", f"tcp://127.0.0.1:{port}", 1, "MOTOR", {"d": 1}, False, 10, 1, ["g"])
    server.start()
    client = context.socket(zmq.REQ)
    client.rcvtimeo = 20000
    client.connect(f"tcp://127.0.0.1:{port}")
    said = []
    for cmd in ("PING", "INFO", "GET", "SET", "GET", "INFO"):
        request = {"from": "me", "to": "x", "cmd": cmd, "payload": {"positions": 5}}
        client.send_json({**request, "version": "0.2.2"})
        reply = client.recv_json()
        if cmd == "INFO":
            reply["payload"] = {key: reply["payload"][key] for key in
                ("device", "freedom", "name", "name_list", "plottables_list")}
        said.append([reply["from"], reply["payload"], reply["error_msg"]])
    said.append([server.name, server.device, str(server.data), len(server.name_list)])
    print(json.dumps([kind.__name__, said, seen], default=str), flush=True)
os._exit(0)
"""


def test_derived_classes_do_what_they_do_in_the_original() -> None:
    said = []
    for folder in (str(require_original()), ""):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), folder],
            capture_output=True,
            text=True,
            timeout=within(60),
            env=environment(),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said.append([json.loads(line) for line in done.stdout.splitlines()])
    theirs, ours = said
    assert len(theirs) == 9
    assert ours == theirs


def test_a_class_that_knows_better_where_clients_connect(make_server: MakeServer) -> None:
    class Behind(ServerLHC):
        @property
        def server_ip(self) -> str:  # type: ignore[override]
            return "10.9.8.7"

    server = make_server(kind=Behind, start=False)
    assert server.address_for_client == f"tcp://10.9.8.7:{server.server_port}"
    corrected = make_server(start=False)
    corrected._server_ip = "10.1.1.1"
    assert corrected.server_ip == "10.1.1.1"
    assert corrected.address_for_client == f"tcp://10.1.1.1:{corrected.server_port}"


def test_values_changed_on_their_way(make_server: MakeServer, connect: Connect) -> None:
    class Doubled(ServerLHC):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, 2 * value if name == "freedom" else value)

    server = make_server(kind=Doubled, freedom=2)
    assert connect(server).info()["freedom"] == server.freedom == 4


def test_emptying_by_the_class(make_server: MakeServer, connect: Connect) -> None:
    class Once(ServerLHC):
        empty_data_after_get = property(lambda self: True, lambda self, value: None)

    client = connect(make_server(kind=Once, data={"n": 1}))
    assert [client.get(), client.get()] == [{"n": 1}, {}]


def test_what_counts_as_no_callback(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(callback_errors="reply")
    server.on_get = server.on_position_changed = False  # type: ignore[assignment]
    client = connect(server)
    assert client.get() == {}
    assert client.ask("SET", {"positions": 1})["error_msg"] is None
    assert server.stats().callback_errors == {}


def test_handlers_as_a_dict(make_server: MakeServer) -> None:
    handlers = make_server(start=False)._handlers
    copied = handlers.copy()
    assert type(copied) is dict
    assert copied == dict(handlers)
    assert (handlers | {"X": print})["X"] is ({"X": print} | handlers)["X"] is print
    assert "X" not in handlers
