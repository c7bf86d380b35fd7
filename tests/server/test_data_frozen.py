"""Data that nobody else refers to is frozen; and what clients get while the GIL is held."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.live_data import PROMPT_S, MakeChild, becomes_frozen, hold_gil, refreshes_during
from support.machine import within
from support.peers import Connect
from support.pollers import Poller
from support.serving import MakeServer
from support.waiting import eventually

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

    assert refreshes_during(server, produce) == 0


def test_a_copy_keeps_the_values_of_its_moment(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    client.get()
    client.info()  # of the first refreshes, one is its
    data: dict[str, Any] = {"a": [0], "b": {"c": 0}, "array": np.zeros(3)}

    def work() -> None:
        server.set_data(data, copy=True)
        data["a"][0] = 3
        data["b"]["c"] = 3
        data["array"][:] = 3
        data["new"] = 3
        assert client.get() == {"a": [0], "b": {"c": 0}, "array": [0.0, 0.0, 0.0]}

    assert refreshes_during(server, work) == 0


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
def test_a_change_through_server_data_before_the_first_refresh_shows(
    make_server: MakeServer, connect: Connect, size: int, copy: bool
) -> None:
    server = make_server(start=False)  # nothing is refreshed before it is started
    server.set_data({"array": np.zeros(size), "list": [0]}, copy)
    server.data["list"].append(1)
    server.data["array"][0] = 1
    server.start()
    client = connect(server)
    for _ in range(3):
        got = client.get()
        assert (got["list"], got["array"][0]) == ([0, 1], 1)


@pytest.mark.parametrize("size", [1, 20_000], ids=["small", "large"])
def test_a_get_that_waits_for_the_first_refresh_shows_the_change(
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
            client.info()  # a refresh of INFO by the same thread: one of the data would come first

    assert refreshes_during(server, produce) == 5
    array[0, 0] = -1
    assert refreshes_during(server, lambda: (client.get(), client.get())) == 1
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


@pytest.mark.alone
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


@pytest.mark.alone
def test_live_data_is_served_stale_when_no_refresh_can_be_made(
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


@pytest.mark.alone
def test_a_long_time_out_waits_for_the_refresh(
    make_server: MakeServer, make_child: MakeChild
) -> None:
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
    """Each set_data makes the refresh under way void, but is as good as one itself."""
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
