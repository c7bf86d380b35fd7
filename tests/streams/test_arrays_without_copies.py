"""Arrays given away, and GET ARRAYS: they are not copied, and let go in the end."""

from __future__ import annotations

import gc
import json
import math
import struct
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import zmq
from support.peers import PATIENCE_S, Peer, request
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.server.engine import engine_of
from laplace_server.stats import ErrorKind


@pytest.fixture
def server(make_server: Any) -> ServerLHC:
    server: ServerLHC = make_server(stream_history_bytes=1 << 20)
    return server


# ---- arrays given away


def test_arrays_given_away_arrive_and_are_let_go(server: ServerLHC, client: ClientLHC) -> None:
    server.declare_stream("s", history_count=1)
    gone: list[int] = []
    with client.subscribe("s") as subscription:
        for n in range(20):
            array = np.full(100_000, n)
            weakref.finalize(array, gone.append, n)
            server.publish("s", {"a": array}, copy=False)
            del array
            assert (subscription.next(PATIENCE_S).data["a"] == n).all()
        server.publish("s", {})  # the last one leaves the history
        # Nothing more is published: they go by themselves.
        wait_until(lambda: sorted(gone) == list(range(20)), "they are let go")


def test_an_array_given_away_is_not_copied(server: ServerLHC, client: ClientLHC) -> None:
    array = np.zeros(100_000)
    with client.subscribe("data") as subscription:
        server.publish("data", {"a": array}, copy=False)
        assert subscription.next(PATIENCE_S).data["a"][0] == 0
        array[0] = 1  # against the promise, to see that it is the same memory
        with client.subscribe("data", start="oldest") as late:
            assert late.next(PATIENCE_S).data["a"][0] == 1


@pytest.mark.parametrize("shape", [(), (0,), (3,), (300, 200)])
def test_arrays_of_any_form_are_given_away(
    server: ServerLHC, client: ClientLHC, shape: tuple[int, ...]
) -> None:
    array = np.arange(int(np.prod(shape)), dtype="f8").reshape(shape)
    with client.subscribe("data") as subscription:
        server.publish("data", {"a": array, "b": array.T, "c": array[..., None][::2]}, copy=False)
        found = subscription.next(PATIENCE_S).data
        assert np.array_equal(found["a"], array)
        assert np.array_equal(found["b"], array.T)
        assert np.array_equal(found["c"], array[..., None][::2])


def test_arrays_outlive_the_server(make_server: Any) -> None:
    array = np.zeros(100_000)
    let_go = threading.Event()
    weakref.finalize(array, let_go.set)
    server = make_server()
    server.publish("s", {"a": array}, copy=False)
    del array
    gc.collect()
    assert not let_go.is_set()
    server.stop()
    assert not let_go.is_set()
    other = make_server()
    # The last references to the first core go.
    kept = ("core", "documents", "streams", "moving", "arrivals")
    vars(engine_of(server)).update({name: getattr(engine_of(other), name) for name in kept})
    gc.collect()
    wait_until(lambda: other.publish("s", {}) and let_go.is_set(), "it is let go")


def test_too_many_arrays_are_refused(server: ServerLHC) -> None:
    with pytest.raises(ValueError, match="65536 arrays"):
        server.publish("s", {"a": [np.zeros(1)] * 65536})
    assert server._core.streams.range_of("s") == (1, 0)
    server.publish("s", {"a": [np.zeros(1)] * 65535})


# ---- GET ARRAYS


def get_arrays(peer: Peer) -> tuple[Any, list[Any], list[bytes]]:
    """The reply's data, what it says of its arrays, and their frames."""
    peer.send(request("GET ARRAYS"))
    body, *frames = peer.receive_frames()
    reply = json.loads(body)
    assert reply["error_msg"] is None, reply["error_msg"]
    assert (reply["cmd"], reply["version"], reply["to"]) == ("GET ARRAYS", "0.2.2", "tester")
    return reply["payload"]["data"], reply["payload"]["arrays"], frames


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("size", [2, 100_000])
def test_get_arrays(server: ServerLHC, copy: bool, size: int) -> None:
    array = np.arange(size, dtype="<u2")
    data = {"a": array, "deep": [{"nan": np.array([math.nan])}], "n": 1}
    server.set_data(data, copy=copy)
    if copy:
        data["n"] = 2
        array[:] = 0
    with Peer(server) as peer:
        for _ in range(2):
            found, described, frames = get_arrays(peer)
            assert found == {"a": None, "deep": [{"nan": None}], "n": 1}
            assert described == [
                {"path": ["a"], "dtype": "<u2", "shape": [size]},
                {"path": ["deep", 0, "nan"], "dtype": "<f8", "shape": [1]},
            ]
            assert np.array_equal(np.frombuffer(frames[0], "<u2"), np.arange(size, dtype="<u2"))
            assert math.isnan(struct.unpack("<d", frames[1])[0])
            # GET stays what it is.
            peer.send(request("GET"))
            assert peer.receive()["payload"]["data"]["a"] == [n % 65536 for n in range(size)]
    if not copy:
        data["n"] = 3
        with Peer(server) as peer:
            assert get_arrays(peer)[0]["n"] == 3


def test_get_arrays_without_arrays(server: ServerLHC) -> None:
    with Peer(server) as peer:
        assert get_arrays(peer) == ({}, [], [])
        server.set_data({"x": [1.5, math.inf]}, copy=True)
        assert get_arrays(peer) == ({"x": [1.5, math.inf]}, [], [])


def test_get_arrays_calls_on_get(server: ServerLHC) -> None:
    server.set_on_get(lambda: server.set_data({"a": np.array([7])}))
    with Peer(server) as peer:
        assert get_arrays(peer)[2] == [struct.pack("<q", 7)]


@pytest.mark.parametrize("copy", [False, True])
def test_get_arrays_takes_where_each_value_is_given_once(make_server: Any, copy: bool) -> None:
    server = make_server(empty_data_after_get=True)
    with Peer(server) as peer:
        server.set_data({"a": np.zeros(100_000)}, copy=copy)
        assert len(get_arrays(peer)[2]) == 1
        assert get_arrays(peer) == ({}, [], [])
        peer.send(request("GET"))
        assert peer.receive()["payload"]["data"] == {}
        server.set_data({"a": np.zeros(3)}, copy=copy)
        peer.send(request("GET"))
        assert peer.receive()["payload"]["data"] == {"a": [0, 0, 0]}
        assert get_arrays(peer) == ({}, [], [])


def test_get_arrays_of_what_cannot_be_sent_any_more(server: ServerLHC) -> None:
    data: dict[str, Any] = {"a": np.zeros(3)}
    server.set_data(data)
    data["bad"] = object()
    with Peer(server) as peer:
        peer.send(request("GET ARRAYS"))
        assert (
            "data['bad']: a value of type object cannot be written" in peer.receive()["error_msg"]
        )
        del data["bad"]
        assert len(get_arrays(peer)[2]) == 1
    assert server.stats().errors[ErrorKind.DATA] == 1


def test_arrays_are_let_go_with_the_last_server(make_server: Any) -> None:
    array = np.zeros(100_000)
    let_go = threading.Event()
    weakref.finalize(array, let_go.set)
    server = ServerLHC("alone", "tcp://127.0.0.1:*", 1, "MOTOR")
    server.publish("s", {"a": array}, copy=False)
    server.stop()
    del array, server
    gc.collect()
    assert let_go.is_set()


def test_a_small_part_of_a_large_array_is_copied(server: ServerLHC) -> None:
    large = np.zeros(1_000_000)
    let_go = threading.Event()
    weakref.finalize(large, let_go.set)
    server.publish("s", {"part": large[:10_000]}, copy=False)
    del large
    gc.collect()
    assert let_go.is_set()


def test_replies_of_many_small_arrays_are_bounded(server: ServerLHC) -> None:
    server.set_data({"a": [np.zeros(15_000, "u1") for _ in range(300)]}, copy=True)
    with Peer(server, zmq.DEALER, options={zmq.RCVHWM: 1}) as deaf:
        for _ in range(60):
            deaf.send(request("GET ARRAYS"))
        wait_until(lambda: server.stats().parked_bytes > 0, "they are parked")
