"""What a GET returns: live and frozen data, the GIL held, and values given away once."""

from __future__ import annotations

import collections
import contextvars
import ctypes
import dataclasses
import functools
import itertools
import json
import queue
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import zmq
from isolated import Child, run_script
from machine import WINDOWS, within
from pollers import Poller
from raw_client import RawClient, message

from conftest import LIMIT_S, Connect, MakeServer, eventually
from laplace_server import ServerLHC
from laplace_server.stats import ErrorKind

MakeChild = Callable[..., Child]
# What a client may wait while this process holds the GIL or runs a callback (s).
PROMPT_S = within(0.1)


def looks_during(server: ServerLHC, action: Callable[[], Any]) -> int:
    before = server.stats().refreshes
    action()
    return server.stats().refreshes - before


def becomes_frozen(server: ServerLHC, client: RawClient, within_s: float = LIMIT_S) -> bool:
    """Whether reads stop causing looks at the data."""
    return eventually(
        lambda: looks_during(server, lambda: (client.get(), client.get())) == 0, within_s
    )


def hold_gil(seconds: float) -> None:
    # PyDLL keeps the GIL during the call, as a badly written driver does.
    if WINDOWS:
        ctypes.PyDLL("kernel32").Sleep(int(seconds * 1e3))
    else:
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))


# ---- aliases

# What somebody still refers to: the data in a box, a change through the other reference,
# and what the next GET must show.
Alias = tuple[list[dict[str, Any]], Callable[[], Any], Any]


@dataclasses.dataclass
class Device:
    positions: list[Any]


class Slots:
    __slots__ = ("positions",)


def the_dict_itself() -> Alias:
    data: dict[str, Any] = {"a": 1}
    return [data], lambda: data.update(a=3), {"a": 3}


def a_new_key_in_the_dict() -> Alias:
    data: dict[str, Any] = {}
    return [data], lambda: data.setdefault("new", [1]), {"new": [1]}


def an_attribute() -> Alias:
    device = Device([0])

    def change() -> None:
        device.positions[0] = 3

    return [{"positions": device.positions}], change, {"positions": [3]}


def a_slot() -> Alias:
    holder = Slots()
    holder.positions = [0]  # type: ignore[attr-defined]

    def change() -> None:
        holder.positions[0] = 3  # type: ignore[attr-defined]

    return [{"p": holder.positions}], change, {"p": [3]}  # type: ignore[attr-defined]


def an_instance_dict() -> Alias:
    device = Device([0])

    def change() -> None:
        device.positions = [3]

    return [vars(device)], change, {"positions": [3]}


def a_namespace() -> Alias:
    space = types.SimpleNamespace(a=0)

    def change() -> None:
        space.a = 3

    return [vars(space)], change, {"a": 3}


def a_dict_inside() -> Alias:
    inner = {"x": [0]}

    def change() -> None:
        inner["x"] = [3]

    return [{"a": [{"b": inner}]}], change, {"a": [{"b": {"x": [3]}}]}


def a_leaf_deep_inside() -> Alias:
    leaf = [0]

    def change() -> None:
        leaf.append(3)

    return [{"a": {"b": [{"c": leaf}]}}], change, {"a": {"b": [{"c": [0, 3]}]}}


def a_list_in_a_tuple() -> Alias:
    leaf = [0]

    def change() -> None:
        leaf[0] = 3

    return [{"a": (1, leaf)}], change, {"a": [1, [3]]}


def the_tuple_around_a_list() -> Alias:
    pair: tuple[Any, ...] = (1, ([0],))

    def change() -> None:
        pair[1][0][0] = 3

    return [{"a": pair}], change, {"a": [1, [[3]]]}


def a_tuple_in_a_shared_list() -> Alias:
    shared = [(0,)]

    def change() -> None:
        shared[0] = (3,)

    return [{"a": (shared,)}], change, {"a": [[[3]]]}


def a_generator() -> Alias:
    def make() -> Iterator[Any]:
        mine = [0]
        yield mine
        mine[0] = 3
        yield None

    generator = make()
    return [{"a": next(generator)}], lambda: next(generator), {"a": [3]}


def a_suspended_frame_of_dicts() -> Alias:
    def make() -> Iterator[Any]:
        data = {"a": 0}
        yield data
        data["a"] = 3
        yield None

    generator = make()
    return [next(generator)], lambda: next(generator), {"a": 3}


def a_default_argument() -> Alias:
    def remember(mine: list[int] = [0]) -> list[int]:  # noqa: B006 - that is the point
        mine[0] += 1
        return mine

    return [{"a": remember()}], remember, {"a": [2]}


def a_cache() -> Alias:
    @functools.cache
    def make() -> dict[str, Any]:
        return {"a": 0}

    return [make()], lambda: make().update(a=3), {"a": 3}


def an_entry_of_another_dict() -> Alias:
    other = {"mine": [0]}

    def change() -> None:
        other["mine"][0] = 3

    return [{"a": other["mine"]}], change, {"a": [3]}


def an_entry_of_a_list_of_dicts() -> Alias:
    history = [{"a": 0}]
    return [history[-1]], lambda: history[-1].update(a=3), {"a": 3}


def an_entry_of_a_deque() -> Alias:
    history = collections.deque([{"a": [0]}])
    return [history[-1]], lambda: history[-1]["a"].append(3), {"a": [0, 3]}


def a_bound_method() -> Alias:
    append: Any = [0].append
    return [{"a": append.__self__}], lambda: append(3), {"a": [0, 3]}


def a_bound_method_of_the_dict() -> Alias:
    update: Any = {"a": 0}.update
    return [update.__self__], lambda: update(a=3), {"a": 3}


def an_iterator() -> Alias:
    cycle = itertools.cycle([[0]])
    first = next(cycle)
    box = [{"a": first}]
    del first
    return box, lambda: next(cycle).append(3), {"a": [0, 3]}


def a_context_variable() -> Alias:
    variable: contextvars.ContextVar[list[int]] = contextvars.ContextVar("variable")
    variable.set([0])
    return [{"a": variable.get()}], lambda: variable.get().append(3), {"a": [0, 3]}


def a_class_attribute() -> Alias:
    class Holder:
        data: dict[str, Any] = {"a": 0}  # noqa: RUF012

    return [Holder.data], lambda: Holder.data.update(a=3), {"a": 3}


def a_dataclass() -> Alias:
    device = Device([0])

    def change() -> None:
        device.positions = [3]

    return [{"a": device}], change, {"a": {"positions": [3]}}


def a_dict_subclass() -> Alias:
    inner: collections.defaultdict[str, int] = collections.defaultdict(int)

    def change() -> None:
        inner["n"] += 3

    return [{"a": inner}], change, {"a": {"n": 3}}


def the_subclass_itself() -> Alias:
    data: collections.OrderedDict[str, int] = collections.OrderedDict(a=0)
    return [data], lambda: data.update(a=3), {"a": 3}


def a_list_subclass() -> Alias:
    class Positions(list):  # type: ignore[type-arg]
        pass

    positions = Positions([0])
    return [{"a": positions}], lambda: positions.append(3), {"a": [0, 3]}


def an_array_of_objects() -> Alias:
    array = np.empty(1, dtype=object)
    array[0] = [0]
    box = [{"a": array}]
    return box, lambda: array[0].append(3), {"a": [[0, 3]]}


def a_list_twice() -> Alias:
    twice = [0]
    return [{"a": twice, "b": [twice]}], lambda: twice.append(3), {"a": [0, 3], "b": [[0, 3]]}


def a_large_array_beside() -> Alias:
    data: dict[str, Any] = {"a": 0, "image": np.zeros(3 * 8192)}
    return [data], lambda: data.update(a=3), {"a": 3, "image": [0.0] * 3 * 8192}


ALIASES: list[Callable[[], Alias]] = [
    the_dict_itself,
    a_new_key_in_the_dict,
    an_attribute,
    a_slot,
    an_instance_dict,
    a_namespace,
    a_dict_inside,
    a_leaf_deep_inside,
    a_list_in_a_tuple,
    the_tuple_around_a_list,
    a_tuple_in_a_shared_list,
    a_generator,
    a_suspended_frame_of_dicts,
    a_default_argument,
    a_cache,
    an_entry_of_another_dict,
    an_entry_of_a_list_of_dicts,
    an_entry_of_a_deque,
    a_bound_method,
    a_bound_method_of_the_dict,
    an_iterator,
    a_context_variable,
    a_class_attribute,
    a_dataclass,
    a_dict_subclass,
    the_subclass_itself,
    a_list_subclass,
    an_array_of_objects,
    a_list_twice,
    a_large_array_beside,
]


def by_keyword(server: ServerLHC, box: list[dict[str, Any]]) -> None:
    server.set_data(new_data=box.pop())


def by_positional_call(server: ServerLHC, box: list[dict[str, Any]]) -> None:
    server.set_data(box.pop())


def by_map(server: ServerLHC, box: list[dict[str, Any]]) -> None:
    collections.deque(map(server.set_data, [box.pop()]), maxlen=0)


def by_star(server: ServerLHC, box: list[dict[str, Any]]) -> None:
    arguments: list[Any] = [box.pop()]
    server.set_data(*arguments)


def by_thread(server: ServerLHC, box: list[dict[str, Any]]) -> None:
    thread = threading.Thread(target=server.set_data, args=(box.pop(),))
    thread.start()
    thread.join()


WAYS = [by_positional_call, by_keyword, by_map, by_star, by_thread]


@pytest.mark.parametrize("alias", ALIASES)
def test_what_somebody_refers_to_is_never_frozen(
    alias: Callable[[], Alias], make_server: MakeServer, connect: Connect
) -> None:
    box, change, wanted = alias()
    server = make_server(data=box.pop())
    client = connect(server)
    client.get()
    change()
    assert client.get() == wanted

    for way in WAYS:
        box, change, wanted = alias()
        way(server, box)
        client.get()
        client.get()
        change()
        assert client.get() == wanted, way

        box, change, wanted = alias()
        way(server, box)
        change()
        assert client.get() == wanted, way
        assert client.get() == wanted, way

    box, change, wanted = alias()
    server.set_on_position_changed(lambda positions: server.set_data(box.pop()))
    client.request("SET", {"positions": [0]})
    client.get()
    change()
    assert client.get() == wanted


def test_a_partial_that_alone_holds_the_dict(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    send = functools.partial(server.set_data, {"a": 0})
    send()
    client.get()
    send.args[0]["a"] = 3
    assert client.get() == {"a": 3}


def test_a_subclass_may_keep_what_it_is_given(make_server: MakeServer, connect: Connect) -> None:
    class Keeping(ServerLHC):
        def set_data(self, new_data: dict[Any, Any], copy: bool = False) -> None:
            super().set_data(new_data, copy)
            self.last = new_data

    server = make_server(kind=Keeping)
    client = connect(server)
    server.set_data({"a": 0})
    client.get()
    server.last["a"] = 3  # type: ignore[attr-defined]
    assert client.get() == {"a": 3}


# ---- frozen


FREEZABLE: dict[str, Callable[[], dict[Any, Any]]] = {
    "empty": dict,
    "plain": lambda: {"a": 1, "b": 2.5, "c": None, "d": "x" * 100},
    "nested": lambda: {"a": {"b": [1, [2, {"c": []}]]}},
    "NaN": lambda: {"a": [float("nan"), {"b": float("inf")}]},
    "array": lambda: {"a": np.arange(10), "b": [np.zeros((2, 2))]},
    "array with NaN": lambda: {"a": np.full(3, np.nan)},
    "large array": lambda: {"a": np.zeros(20_000)},
    "plain tuple": lambda: {"a": (1, (2, "x"))},
    "tuple of lists": lambda: {"a": ([1, 2], {"b": [3]})},
    "keys": lambda: {1: [2], None: {}},
    "long integer": lambda: {"a": [2**80]},
}


@pytest.mark.parametrize("kind", FREEZABLE)
def test_what_nobody_refers_to_is_frozen(
    kind: str, make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()
    client = connect(server)
    server.set_data(FREEZABLE[kind]())
    assert becomes_frozen(server, client)


def test_data_let_go_later_is_frozen_at_last(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    data = {"a": [1]}
    inner = data["a"]
    server.set_data(data)
    assert not becomes_frozen(server, client, within_s=0.1)
    del data
    assert not becomes_frozen(server, client, within_s=0.1)
    del inner
    assert becomes_frozen(server, client)


@pytest.mark.skipif(
    not (3, 11) <= sys.version_info < (3, 14), reason="references at the door tell on 3.11 to 3.13"
)
def test_a_fresh_dict_is_frozen_at_the_door(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    client.get()
    client.info()

    def produce() -> None:
        for i in range(20):
            server.set_data({"n": i, "list": [i]})
            assert client.get() == {"n": i, "list": [i]}

    assert looks_during(server, produce) == 0


def test_a_copy_keeps_the_values_of_its_moment(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    client.get()
    data: dict[str, Any] = {"a": [0], "b": {"c": 0}, "array": np.zeros(3)}

    def work() -> None:
        server.set_data(data, copy=True)
        data["a"][0] = 3
        data["b"]["c"] = 3
        data["array"][:] = 3
        data["new"] = 3
        assert client.get() == {"a": [0], "b": {"c": 0}, "array": [0.0, 0.0, 0.0]}

    assert looks_during(server, work) == 0


def test_a_copy_of_what_only_the_standard_library_writes(
    make_server: MakeServer, connect: Connect
) -> None:
    """A lone surrogate means a second walk; it must not see later values."""
    server = make_server(start=False)
    array = np.zeros(20_000)
    server.set_data({"text": "\ud800", "array": array}, copy=True)
    array[0] = 3
    server.start()
    assert connect(server).get() == {"text": "\ud800", "array": [0.0] * 20_000}


@pytest.mark.parametrize("copy", [False, True])
def test_data_read_through_the_server_is_live_again(
    make_server: MakeServer, connect: Connect, copy: bool
) -> None:
    server = make_server()
    client = connect(server)
    server.set_data({"a": {"b": [0]}}, copy)
    assert becomes_frozen(server, client)
    server.data["a"]["b"][0] = 3
    assert client.get() == {"a": {"b": [3]}}
    assert becomes_frozen(server, client)
    inner = server.data["a"]
    client.get()
    client.get()
    inner["b"] = 4
    assert client.get() == {"a": {"b": 4}}
    del inner
    assert becomes_frozen(server, client)


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("size", [1, 20_000], ids=["small", "large"])
def test_a_change_through_server_data_before_the_first_look_shows(
    make_server: MakeServer, connect: Connect, size: int, copy: bool
) -> None:
    server = make_server(start=False)  # nobody looks before it is started
    server.set_data({"array": np.zeros(size), "list": [0]}, copy)
    server.data["list"].append(1)
    server.data["array"][0] = 1
    server.start()
    client = connect(server)
    for _ in range(3):
        got = client.get()
        assert (got["list"], got["array"][0]) == ([0, 1], 1)


@pytest.mark.parametrize("size", [1, 20_000], ids=["small", "large"])
def test_a_get_that_waits_for_the_first_look_shows_the_change(
    make_server: MakeServer, connect: Connect, size: int
) -> None:
    server = make_server(start=False)
    data: dict[str, Any] = {"array": np.zeros(size)}
    server.set_data(data)
    data["x"] = 1
    client = connect(server)
    client.send("GET")
    assert not client.answered(0.1)  # it is there now
    server.start()
    assert client.receive()["payload"]["data"].get("x") == 1


def test_json_of_a_large_array_is_made_at_the_first_get(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()
    client = connect(server)
    client.get()
    array = np.zeros((100, 200))

    def produce() -> None:
        for i in range(5):
            array[0, 0] = i
            server.set_data({"image": array}, copy=True)
            server.name_list.append("x")
            client.info()  # a look at INFO by the same thread: one at the data would come first

    assert looks_during(server, produce) == 5
    array[0, 0] = -1
    assert looks_during(server, lambda: (client.get(), client.get())) == 1
    assert client.get()["image"][0][:2] == [4.0, 0.0]
    assert np.shape(client.get()["image"]) == (100, 200)


def test_newer_data_replaces_what_was_never_made(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    server.set_data({"image": np.zeros(20_000)}, copy=True)
    server.set_data({"small": 1})
    assert client.get() == {"small": 1}
    server.set_data({"image": np.ones(20_000)})
    assert client.get() == {"image": [1.0] * 20_000}
    server.empty_data()
    assert client.get() == {}


# ---- the GIL held by somebody else


@pytest.mark.parametrize("command", ["GET", "PING", "INFO"])
def test_frozen_data_is_answered_while_the_gil_is_held(
    command: str, make_server: MakeServer, make_child: MakeChild
) -> None:
    server = make_server(data={"a": 1})
    poller = Poller(make_child, server.server_port)
    poller.begin(0.0, "GET", "INFO")
    poller.result()
    before = server.stats().commands[command].native
    poller.begin(0.2, command, delay_s=within(0.1))
    hold_gil(within(0.5))
    # All answered in that time: the count was read before the GIL was given away.
    answered = server.stats().commands[command].native - before
    seen = poller.result()
    assert answered >= seen.answers > 10
    assert seen.longest_s < PROMPT_S
    assert seen.errors == 0


def test_live_data_is_served_stale_when_no_look_can_be_made(
    make_server: MakeServer, make_child: MakeChild, connect: Connect
) -> None:
    server = make_server(refresh_timeout_ms=40)
    poller = Poller(make_child, server.server_port)
    data = {"n": 0}
    server.set_data(data)
    assert connect(server).get() == {"n": 0}
    before = server.stats().stale_gets
    poller.begin(0.2, "GET", delay_s=within(0.1))
    data["n"] = 1
    hold_gil(within(0.5))
    stale = server.stats().stale_gets - before
    seen = poller.result()
    assert seen.longest_s < 0.04 + PROMPT_S
    assert 0 < stale <= seen.answers
    assert seen.errors == 0
    client = connect(server)
    assert eventually(lambda: client.get() == {"n": 1})


def test_a_long_time_out_waits_for_the_look(make_server: MakeServer, make_child: MakeChild) -> None:
    server = make_server(refresh_timeout_ms=20_000)
    poller = Poller(make_child, server.server_port)
    data = {"n": 0}
    server.set_data(data)
    poller.begin(0.0, "GET")
    poller.result()
    data["n"] = 1
    poller.begin(0.0, "GET", delay_s=within(0.1))
    hold_gil(within(0.4))
    seen = poller.result()
    assert seen.first["payload"]["data"] == {"n": 1}
    assert seen.longest_s > PROMPT_S
    assert server.stats().stale_gets == 0


def test_no_time_out_at_all(make_server: MakeServer, connect: Connect) -> None:
    data = {"n": 1}
    server = make_server(refresh_timeout_ms=0, data=data)
    assert connect(server).get() == {"n": 1}


def test_a_producer_of_live_data_starves_no_reader(
    make_server: MakeServer, connect: Connect
) -> None:
    """Each set_data makes the look under way void, but is as good as one itself."""
    server = make_server()
    client = connect(server)
    end = threading.Event()

    def produce() -> None:
        for n in itertools.count():
            data = {"n": n, "list": [n] * 50}
            server.set_data(data)
            if end.is_set():
                return

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        read = [client.get() for _ in range(100)]
    finally:
        end.set()
        producer.join()
    numbers = [data.get("n", -1) for data in read]
    assert numbers == sorted(numbers)
    assert server.stats().stale_gets == 0


# ---- live data that cannot be written


def test_live_data_gone_bad_is_an_error_until_it_is_good(
    make_server: MakeServer, connect: Connect
) -> None:
    data: dict[Any, Any] = {"a": [1]}
    server = make_server(data=data)
    client = connect(server)
    assert client.get() == {"a": [1]}
    for bad, place in [(object(), "data['a'][1]: a object"), (b"x", "data['a'][1]: a bytes")]:
        data["a"].append(bad)
        for _ in range(2):
            reply = client.request("GET")
            assert place in reply["error_msg"]
            assert list(reply) == ["from", "to", "cmd", "payload", "version", "error_msg", "msg"]
            assert (reply["to"], reply["cmd"], reply["payload"]) == ("raw client", "GET", {})
        del data["a"][1]
        assert client.get() == {"a": [1]}
    assert eventually(lambda: server.stats().errors[ErrorKind.DATA] == 4)
    data["a"].append(object())
    assert client.request("GET")["error_msg"]
    server.set_data({"new": 1})
    assert client.get() == {"new": 1}


@pytest.mark.parametrize("problem", [ValueError("\ud800"), KeyboardInterrupt(), SystemExit(1)])
def test_whatever_a_look_raises_the_next_is_made(
    make_server: MakeServer, connect: Connect, problem: BaseException
) -> None:
    class Moody(dict):  # type: ignore[type-arg]
        problem: BaseException | None = None

        def items(self) -> Any:
            if self.problem is not None:
                raise self.problem
            return super().items()

    data = Moody(a=1)
    server = make_server(data=data)
    client = connect(server)
    assert client.get() == {"a": 1}
    data.problem = problem
    assert client.request("GET")["error_msg"]
    data.problem = None
    data["a"] = 2
    assert client.get() == {"a": 2}
    assert server.stats().stale_gets == 0


def test_a_bad_value_in_a_get_callback(make_server: MakeServer, connect: Connect) -> None:
    data: dict[str, Any] = {}
    server = make_server(data=data)
    client = connect(server)
    server.set_on_get(lambda: data.update(a=b"x"))
    assert "data['a']: a bytes" in client.request("GET")["error_msg"]
    server.set_on_get(lambda: data.update(a=1))
    assert client.get() == {"a": 1}


# ---- threads that change the data meanwhile

MUTATING = """
    import collections, dataclasses, datetime, faulthandler, itertools, json, random, sys
    import threading, time
    import numpy as np
    import zmq
    from laplace_server import ServerLHC
    from raw_client import RawClient

    faulthandler.enable()
    faulthandler.dump_traceback_later(50, exit=True)
    sys.setswitchinterval(1e-5)
    kind, seconds = sys.argv[1], float(sys.argv[2])

    class Zone(datetime.tzinfo):
        def utcoffset(self, when):
            return datetime.timedelta(minutes=len([i for i in range(20)]))
        def dst(self, when): return None
        def tzname(self, when): return "zone"

    @dataclasses.dataclass
    class Pose:
        x: float
        path: list

    class Child(dict): pass

    ZONE = Zone()
    values = {
        "plain": lambda i: [i, 1.5, {"n": i}, [None] * (i % 7)],
        "default": lambda i: random.choice([
            Pose(i, [i] * (i % 5)), datetime.datetime(2024, 1, 1, tzinfo=ZONE), (i, [i]),
            collections.OrderedDict(a=[i]), Child(b=i), {1, 2} and 2**70 + i, float("nan")]),
        "arrays": lambda i: random.choice([
            np.arange(i % 50), np.full(3, np.nan), np.zeros((2, i % 9), ">f4"),
            np.array([[i], None], dtype=object), np.float32(i), np.zeros(9000)]),
        "bad": lambda i: random.choice([i, {i}, b"x", object(), [i], "\\ud800"]),
    }[kind]

    data = {"list": [0] * 10, "dict": {str(i): i for i in range(10)}, "deep": [[{}]]}
    server = ServerLHC("s", "tcp://127.0.0.1:*", 1, "MOTOR", data=data)
    if len(sys.argv) > 3:
        server.set_on_get(lambda: data["list"].append(values(1)))
    server.start()
    end = threading.Event()

    def mutate(seed):
        rng = random.Random(seed)
        for i in itertools.count(seed):
            if end.is_set():
                return
            what = rng.randrange(8)
            if what == 0: data["list"].append(values(i))
            elif what == 1: del data["list"][len(data["list"]) // 2:]
            elif what == 2: data["dict"][str(rng.randrange(200))] = values(i)
            elif what == 3: data["dict"].clear()
            elif what == 4: data["deep"][0] = [{"x": values(i)}]
            elif what == 5: data[f"key {rng.randrange(50)}"] = values(i)
            elif what == 6: data.pop(f"key {rng.randrange(50)}", None)
            else: data["list"][:] = [values(i)] * rng.randrange(20)

    def replace():
        while not end.wait(0.003):
            try: server.set_data(data)
            except TypeError: assert kind == "bad"
            try: server.set_data(dict(data), copy=True)
            except TypeError: assert kind == "bad"
            server.set_data({"list": data["list"]}) if kind == "plain" else None
            try: server.set_data(data)
            except TypeError: assert kind == "bad"

    threads = [threading.Thread(target=mutate, args=(i,)) for i in range(3)]
    threads.append(threading.Thread(target=replace))
    for thread in threads: thread.start()
    context = zmq.Context()
    client = RawClient(context, server.address)
    good = bad = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        reply = client.request("GET")
        if reply["error_msg"] is None:
            assert isinstance(reply["payload"]["data"], dict)
            good += 1
        else:
            assert "data" in reply["error_msg"], reply
            bad += 1
    end.set()
    for thread in threads: thread.join()
    server.set_data({"last": 1})
    assert client.get() == {"last": 1}
    client.close()
    context.term()
    server.stop()
    assert not server.is_alive()
    print(good, bad)
"""


@pytest.mark.parametrize(
    "arguments", ["plain 1", "default 1", "default 1 callback", "arrays 1", "bad 1 callback"]
)
def test_data_changed_by_threads_while_it_is_read(arguments: str) -> None:
    good, bad = map(int, run_script(MUTATING, *arguments.split()).split())
    assert good + bad > 5
    if "bad" in arguments:
        assert bad > 0
    else:
        assert bad == 0


# ---- empty_data_after_get


def test_each_value_is_given_once(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(data={"n": 0}, empty_data_after_get=True)
    client = connect(server)
    assert [client.get(), client.get()] == [{"n": 0}, {}]
    kept = {"n": 1, "list": [1]}
    for copy in (False, True):
        server.set_data(kept, copy)
        assert [client.get(), client.get()] == [{"n": 1, "list": [1]}, {}]
        assert kept == {"n": 1, "list": [1]}
        assert server.data == {}
    kept["n"] = 2
    assert client.get() == {}  # taken: what becomes of it is the caller's business
    server.set_data({"large": np.ones(20_000)})
    assert [client.get(), client.get()] == [{"large": [1.0] * 20_000}, {}]
    server.empty_data_after_get = False
    server.set_data({"n": 3})
    assert [client.get(), client.get()] == [{"n": 3}, {"n": 3}]
    server.set_data({"large": np.ones(20_000)})
    server.empty_data_after_get = True
    assert [client.get(), client.get()] == [{"large": [1.0] * 20_000}, {}]


def test_a_callback_fills_each_reply(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(empty_data_after_get=True)
    numbers = itertools.count()
    server.set_on_get(lambda: server.set_data({"n": next(numbers)}))
    client = connect(server)
    assert [client.get()["n"] for _ in range(5)] == [0, 1, 2, 3, 4]
    server.set_on_get(None)
    assert client.get() == {}


def test_data_read_after_it_was_taken_is_new(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(data={"n": 0}, empty_data_after_get=True)
    client = connect(server)
    client.get()
    assert server.data == {}
    server.data["n"] = 1
    assert [client.get(), client.get()] == [{}, {}]
    server.set_data({"n": [1]})
    assert server.data == {"n": [1]}
    assert [client.get(), client.get()] == [{"n": [1]}, {}]


@pytest.mark.parametrize("how", ["copy", "live", "callback"])
def test_with_many_clients_no_value_is_lost_or_doubled(
    how: str, make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(empty_data_after_get=True)
    if how == "callback":
        server.set_on_get(lambda: None)
    clients = [connect(server) for _ in range(4)]
    delivered: queue.SimpleQueue[int] = queue.SimpleQueue()
    end = threading.Event()

    def read(client: RawClient) -> None:
        while not end.is_set():
            data = client.get()
            if data:
                delivered.put(data["n"])

    threads = [threading.Thread(target=read, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    count = 400
    kept: dict[str, Any] = {"n": -1}
    try:
        # One at a time: each must come, once, before the next is set.
        for n in range(count):
            if how == "live":
                kept = {"n": n}
            server.set_data(kept if how == "live" else {"n": n}, copy=how == "copy")
            assert delivered.get(timeout=20) == n
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert delivered.empty()


def test_a_fast_producer_replaces_values_but_none_comes_twice(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(empty_data_after_get=True)
    clients = [connect(server) for _ in range(4)]
    read: list[list[int]] = [[] for _ in clients]
    end = threading.Event()

    def reader(client: RawClient, mine: list[int]) -> None:
        while not end.is_set():
            data = client.get()
            if data:
                mine.append(data["n"])

    threads = [
        threading.Thread(target=reader, args=pair) for pair in zip(clients, read, strict=True)
    ]
    for thread in threads:
        thread.start()
    last = 3000
    for n in range(last + 1):
        data = {"n": n}
        server.set_data(data, copy=n % 2 == 0)
    assert eventually(lambda: any(last in mine for mine in read))
    end.set()
    for thread in threads:
        thread.join()
    assert clients[0].get() == {}
    everything = sorted(itertools.chain(*read))
    assert len(everything) == len(set(everything))
    assert all(mine == sorted(mine) for mine in read)


def gone(server: ServerLHC) -> bool:
    return eventually(lambda: server.stats().connections == 0)


@pytest.mark.parametrize("live", [False, True])
def test_a_value_whose_reply_is_refused_is_put_back(
    live: bool, make_server: MakeServer, connect: Connect
) -> None:
    data = {"n": 1}
    server = make_server(empty_data_after_get=True)
    server.set_data(data, copy=not live)
    asked, answer = threading.Event(), threading.Event()

    def on_get() -> None:
        asked.set()
        assert answer.wait(20)

    server.set_on_get(on_get)
    impatient = connect(server, kind=zmq.DEALER)
    impatient.send("GET")
    assert asked.wait(20)
    impatient.close()
    assert gone(server)
    # libzmq tells of it before it ends the pipe, but ends that before it reads from another.
    connect(server).request("PING")
    answer.set()
    assert eventually(lambda: server.stats().errors[ErrorKind.UNROUTABLE] == 1)
    assert server.data == {"n": 1}
    server.set_on_get(None)
    client = connect(server)
    assert [client.get(), client.get()] == [{"n": 1}, {}]


def test_a_value_whose_reader_left_before_the_look_is_put_back(
    make_server: MakeServer, connect: Connect, make_child: MakeChild
) -> None:
    server = make_server(empty_data_after_get=True, refresh_timeout_ms=20_000)
    data = {"n": 1}
    server.set_data(data)
    child = make_child(
        """
        import sys, time, zmq
        from raw_client import RawClient
        context = zmq.Context()
        client = RawClient(context, sys.argv[1], zmq.DEALER)
        client.request("PING")
        print("ready", flush=True)
        sys.stdin.readline()
        time.sleep(float(sys.argv[2]))  # until the other side holds the GIL and cannot say so
        client.socket.linger = 1000
        client.send("GET")
        client.close()
        context.term()
        """,
        f"tcp://127.0.0.1:{server.server_port}",
        str(within(0.1)),
    )
    assert child.hear() == "ready"
    child.tell("go")
    hold_gil(within(0.5))  # no look before it has gone
    assert gone(server)
    client = connect(server)
    assert [client.get(), client.get()] == [{"n": 1}, {}]


def park_a_value(server: ServerLHC, context: zmq.Context[Any]) -> tuple[zmq.Socket[bytes], int]:
    """A peer that does not read, and the value that its parked reply carries."""
    peer: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    peer.rcvhwm = 1
    peer.rcvbuf = 4096
    peer.connect(f"tcp://127.0.0.1:{server.server_port}")
    get = json.dumps(message("GET")).encode()
    # As much as the system's buffers and libzmq take, and one more.
    for n in itertools.count():
        server.set_data({"n": n, "much": "x" * 65536}, copy=True)
        peer.send_multipart([b"", get])
        sent = n + 1
        assert eventually(
            lambda sent=sent: server.stats().commands["GET"].native == sent or parked(server)  # type: ignore[misc]
        )
        # The system's buffers may still grow a little.
        if parked(server) and not eventually(lambda: not parked(server), 0.2):
            return peer, n
    raise AssertionError


def parked(server: ServerLHC) -> bool:
    return server.stats().parked_bytes > 0


def test_a_value_in_a_parked_reply_is_put_back_when_the_peer_goes(
    make_server: MakeServer, connect: Connect, context: zmq.Context[Any]
) -> None:
    server = make_server(empty_data_after_get=True)
    peer, n = park_a_value(server, context)
    client = connect(server)
    assert client.get() == {}
    peer.close()
    assert eventually(lambda: not parked(server))
    assert client.get().get("n") == n
    assert client.get() == {}


def test_what_is_put_back_does_not_replace_newer_data(
    make_server: MakeServer, connect: Connect, context: zmq.Context[Any]
) -> None:
    server = make_server(empty_data_after_get=True)
    peer, _ = park_a_value(server, context)
    server.set_data({"newer": 1})
    peer.close()
    assert eventually(lambda: not parked(server))
    client = connect(server)
    assert [client.get(), client.get()] == [{"newer": 1}, {}]


# ---- SET, then GET


def test_the_position_after_a_set_is_in_the_next_get(
    make_server: MakeServer, connect: Connect
) -> None:
    class Motor:
        def __init__(self) -> None:
            self.positions = [0.0, 0.0]

        def move(self, positions: list[float]) -> None:
            for axis, position in enumerate(positions):
                self.positions[axis] = position

    motor = Motor()
    server = make_server(data={"positions": motor.positions})
    server.set_on_position_changed(motor.move)
    client = connect(server)
    for n in range(20):
        client.request("SET", {"positions": [n, -n]})
        assert client.get() == {"positions": [n, -n]}


def test_pipelined_set_and_get_come_in_order(make_server: MakeServer, connect: Connect) -> None:
    positions = [0]
    server = make_server(data={"positions": positions})
    server.set_on_position_changed(lambda new: positions.__setitem__(0, new[0]))
    client = connect(server, kind=zmq.DEALER)
    count = 100
    for n in range(count):
        client.send("SET", {"positions": [n]})
        client.send("GET")
    for n in range(count):
        assert client.receive()["cmd"] == "SET"
        assert client.receive()["payload"]["data"] == {"positions": [n]}


def test_reading_the_data_property(make_server: MakeServer) -> None:
    data = {"a": [1]}
    server = make_server(data=data, start=False)
    assert server.data == data
    assert server.data is not server.data
    assert server.data["a"] is data["a"]
    server.set_data(data, copy=True)
    assert server.data == data
    assert server.data["a"] is not data["a"]
    assert server.data["a"] is server.data["a"]
    server.data["b"] = 1
    assert server.data == data
    with pytest.raises(AttributeError):
        server.data = {}  # type: ignore[misc]
    server.empty_data()
    assert server.data == {}
    assert data == {"a": [1]}
    assert json.dumps(server.data) == "{}"
