"""What somebody still refers to is live: whatever the reference, a change through it shows."""

from __future__ import annotations

import collections
import contextvars
import dataclasses
import functools
import itertools
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support.peers import Connect
from support.serving import MakeServer

from laplace_server import ServerLHC

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
    client.ask("SET", {"positions": [0]})
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
