"""What a server holds of the data: with `copy=True` and in `publish` nothing of the program's."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import gc
import json
import math
import mmap
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from support.peers import Connect
from support.serving import MakeServer, client_of
from support.waiting import eventually

from laplace_server import ServerLHC


class Known(dict):  # type: ignore[type-arg]
    """A dict whose end can be seen."""


class Row(list):  # type: ignore[type-arg]
    """A list whose end can be seen."""


class Colour(enum.Enum):
    RED = "red"


class Spot(NamedTuple):
    x: float
    y: float


@dataclasses.dataclass
class Point:
    x: Any
    y: Any


def refreshes_of(server: ServerLHC, client: Any) -> int:
    """How many refreshes two reads caused."""
    before = server.stats().refreshes
    client.get()
    client.get()
    return server.stats().refreshes - before


def set_copy(server: ServerLHC, data: dict[Any, Any]) -> None:
    server.set_data(data, copy=True)


def set_copy_of_a_stream(server: ServerLHC, data: dict[Any, Any]) -> None:
    server.declare_stream("data")
    server.set_data(data, copy=True)


def publish(server: ServerLHC, data: dict[Any, Any]) -> None:
    server.publish("s", data)


@pytest.mark.parametrize("hand_over", [set_copy, set_copy_of_a_stream, publish])
@pytest.mark.parametrize("size", [4, 200_000], ids=["small", "large"])
def test_nothing_of_the_program_is_kept(
    make_server: MakeServer, hand_over: Callable[[ServerLHC, Any], None], size: int
) -> None:
    server = make_server()
    arrays = [np.full(size, 7.0) for _ in range(5)]
    masked = np.ma.masked_array(np.zeros(size))
    objects = np.array([Row([1]), 2], object)
    row, point = Row([arrays[1], (arrays[2], Row())]), Point(arrays[3], Row([1]))
    data = Known(image=arrays[0], row=row, point=point, part=arrays[4][::2])
    data |= {"masked": masked, "objects": objects, "ordered": OrderedDict(a=Row())}
    watched = [data, row, point, masked, objects, *arrays, data["ordered"]["a"], row[1][1]]
    ends = [weakref.ref(each) for each in watched]
    hand_over(server, data)
    del arrays, masked, objects, row, point, data, watched
    gc.collect()
    assert [end() for end in ends] == [None] * len(ends)
    with client_of(server) as client:
        for _ in range(2):
            client.get()
            client.get(arrays=True)
            _ = server.data
    gc.collect()
    assert [end() for end in ends] == [None] * len(ends)


@pytest.mark.parametrize("hand_over", [set_copy, set_copy_of_a_stream, publish])
def test_the_memory_behind_an_array_can_go(
    make_server: MakeServer, hand_over: Callable[[ServerLHC, Any], None]
) -> None:
    server = make_server()
    memory = mmap.mmap(-1, 1 << 20)
    image = np.frombuffer(memory, "u1")
    image_at = np.ndarray((1 << 20,), "u1", buffer=memory)
    image_at[:] = 7
    hand_over(server, {"image": image, "part": image[5:-5], "list": [image.reshape(1024, -1)]})
    del image, image_at
    memory.close()  # BufferError while anybody has a view of it
    if hand_over is not publish:
        _ = server.data["list"]
        with client_of(server) as client:
            got = client.get(arrays=True)
            assert got["image"].mean() == got["part"].mean() == got["list"][0].mean() == 7
            assert client.get()["part"] == [7] * ((1 << 20) - 10)


def test_what_server_data_shows_of_a_copy(make_server: MakeServer, connect: Connect) -> None:
    when = datetime.datetime(2026, 1, 2, 3, 4)
    data = {
        1: Known(a=Row([1, (2, [3])])),
        "point": Point(1.5, Row()),
        "nan": [math.nan],
        "when": when,
        "colour": Colour.RED,
        "image": np.arange(6.0).reshape(2, 3).T,
        "masked": np.ma.masked_array([1, 2], [True, False]),
        "objects": np.array([[1], 2], object),
    }
    server = make_server()
    client = connect(server)
    server.set_data(data, copy=True)
    before = client.get()
    shown = server.data
    assert list(shown) == list(data)
    assert (shown[1], shown["point"]) == ({"a": [1, (2, [3])]}, {"x": 1.5, "y": []})
    assert (shown["when"], shown["colour"]) == (when, Colour.RED)
    assert [type(shown[1]), type(shown[1]["a"]), type(shown["point"])] == [dict, list, dict]
    assert math.isnan(shown["nan"][0])
    assert type(shown["image"]) is np.ndarray
    np.testing.assert_array_equal(shown["image"], data["image"])
    assert shown["masked"].tolist() == [None, 2]
    assert shown["objects"] == [[1], 2]
    assert client.get() == before or math.isnan(before["nan"][0])
    assert json.dumps(client.get()) == json.dumps(before)


@pytest.mark.parametrize("size", [3, 100_000], ids=["small", "large"])
@pytest.mark.parametrize("arrays", [False, True])
def test_writing_into_what_is_nested_shows(
    make_server: MakeServer, size: int, arrays: bool
) -> None:
    server = make_server()
    source: dict[str, Any] = {"image": np.zeros(size), "list": [0], "by": {"row": np.zeros(size)}}
    server.set_data(source, copy=True)
    with client_of(server) as client:
        for i in range(1, 4):
            server.data["image"][0] = i
            server.data["by"]["row"][1] = i
            server.data["list"][0] = i
            server.data["new"] = i  # of the dict that was handed out, and gone
            got = client.get(arrays=arrays)
            assert (got["image"][0], got["by"]["row"][1], got["list"], len(got)) == (i, i, [i], 3)
    assert (source["list"], source["image"].any(), source["by"]["row"].any()) == ([0], False, False)


def test_a_flat_copy_that_is_only_looked_at_stays_frozen(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()
    client = connect(server)
    client.get()
    server.set_data({"x": 1, "text": "a", "on": True}, copy=True)
    client.info()
    assert eventually(lambda: refreshes_of(server, client) == 0)  # also at what it began with
    before = server.stats().refreshes
    for _ in range(20):
        assert server.data["x"] == 1
        assert client.get() == {"x": 1, "text": "a", "on": True}
    assert server.stats().refreshes == before


@pytest.mark.parametrize("copy", [False, True])
def test_what_is_on_its_way_does_not_change(make_server: MakeServer, copy: bool) -> None:
    """Frames that are still to be sent are out of reach of who writes through server.data."""
    server = make_server()
    server.declare_stream("data")
    server.set_data({"image": np.zeros(1 << 18)}, copy)
    with client_of(server) as client, client.subscribe("data", start="oldest") as updates:
        assert client.get(arrays=True)["image"][0] == 0
        for i in range(1, 6):
            server.set_data({"image": np.full(1 << 18, float(i))}, copy)
            got = client.get(arrays=True)["image"]
            server.data["image"][:] = 100.0
            assert (got == i).all()
        for i in range(6):
            assert (updates.next(20).data["image"] == i).all()


def test_the_old_data_stays_where_a_copy_is_refused(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(data={"old": [1]})
    client = connect(server)
    for bad in ({"a": object()}, {"a": [b""]}, {"a": Point(1, {2, b"x"})}):
        with pytest.raises(TypeError, match=r"data\['a'\]"):
            server.set_data(bad, copy=True)
        assert client.get() == {"old": [1]}
        assert server.data == {"old": [1]}


class Place:
    """A path that changes."""

    where = "/a"

    def __fspath__(self) -> str:
        return self.where


class Pair(enum.Enum):
    BOTH = [1, 2]  # noqa: RUF012


def test_what_can_change_is_not_kept_under_another_name(
    make_server: MakeServer, connect: Connect
) -> None:
    place = Place()
    end = weakref.ref(place)
    server = make_server()
    server.set_data({"path": place, "pair": Pair.BOTH, "list": [1]}, copy=True)
    place.where = "/b"
    try:
        Pair.BOTH.value.append(3)
        _ = server.data["list"]
        assert connect(server).get() == {"path": "/a", "pair": [1, 2], "list": [1]}
    finally:
        Pair.BOTH.value.pop()
    del place
    gc.collect()
    assert end() is None


def test_server_data_keeps_the_types_of_data_that_nobody_else_has(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()
    client = connect(server)
    server.set_data({"ids": {1}, "at": [Spot(1.0, 2.0)], "trace": np.zeros(3), "t": (np.ones(2),)})
    assert eventually(lambda: not refreshes_of(server, client))
    shown = server.data
    assert (shown["ids"], type(shown["at"][0])) == ({1}, Spot)
    shown["trace"][0] = shown["t"][0][1] = 5
    got = client.get()
    assert (got["trace"], got["t"]) == ([5, 0, 0], [[1, 5]])


def test_an_array_that_a_weak_reference_reaches_is_live(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()
    client = connect(server)
    array = np.zeros(3)
    reference = weakref.ref(array)
    server.set_data({"a": array})
    del array
    client.get()
    client.get()
    found = reference()
    assert found is not None
    found[0] = 7
    del found
    assert client.get() == {"a": [7, 0, 0]}


def test_data_that_nobody_holds_is_frozen_with_its_arrays(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()
    client = connect(server)
    held = np.zeros(4)
    view, foreign = held[1:], np.frombuffer(bytearray(8))
    server.set_data(
        {"a": np.zeros(4)[1:], "b": [np.ones((2, 2)).T], "c": np.frombuffer(b"12345678")}
    )
    assert eventually(lambda: refreshes_of(server, client) == 0)
    for array in (held, view, foreign):
        server.set_data({"a": array})
        assert not eventually(lambda: refreshes_of(server, client) == 0, 0.1)
        array[-1] += 1
        assert client.get()["a"][-1] == array[-1]
