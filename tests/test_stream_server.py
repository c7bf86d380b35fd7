"""What the server does for streams beside sending: set_data, arrays given away, waiting, INFO."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import math
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import zmq
from machine import INTERRUPT
from raw_peers import Peer, request, wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.engine import engine_of
from laplace_server.stats import ErrorKind

PATIENCE_S = 10.0


@pytest.fixture
def server(make_server: Any) -> ServerLHC:
    server: ServerLHC = make_server(stream_history_bytes=1 << 20)
    return server


@pytest.fixture
def client(server: ServerLHC) -> Iterator[ClientLHC]:
    with ClientLHC(f"tcp://127.0.0.1:{server.server_port}", timeout_s=PATIENCE_S) as client:
        yield client


# ---- set_data


@pytest.mark.parametrize("copy", [False, True])
def test_set_data_appends_once_somebody_has_subscribed(
    server: ServerLHC, client: ClientLHC, copy: bool
) -> None:
    server.set_data({"n": 0}, copy=copy)
    assert server._core.stream_names() == []
    with client.subscribe() as subscription:
        for n in range(1, 4):
            server.set_data({"n": n, "a": np.arange(n)}, copy=copy)
        updates = [subscription.next(PATIENCE_S) for _ in range(3)]
        assert [(update.seq, update.data["n"]) for update in updates] == [(1, 1), (2, 2), (3, 3)]
        assert updates[2].data["a"].tolist() == [0, 1, 2]
        assert client.get() == {"n": 3, "a": [0, 1, 2]}
    # A client that was cut off meanwhile must not miss anything without knowing.
    server.set_data({"n": 4}, copy=copy)
    with client.subscribe("data", start=4) as subscription:
        assert subscription.next(PATIENCE_S).data == {"n": 4}


def test_set_data_appends_once_declared(server: ServerLHC, client: ClientLHC) -> None:
    server.declare_stream("data")
    server.set_data({"n": 1})
    server.set_data({"n": 2})
    server.set_data({"n": object()})
    with pytest.raises(TypeError):
        server.set_data({"n": object()}, copy=True)
    server.set_data({"n": 3})
    with client.subscribe(start="oldest") as subscription:
        assert [subscription.next(PATIENCE_S).data["n"] for _ in range(3)] == [1, 2, 3]


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
    vars(engine_of(server)).update(core=other._core, streams=engine_of(other).streams)
    gc.collect()
    wait_until(lambda: other.publish("s", {}) and let_go.is_set(), "it is let go")


def test_too_many_arrays_are_refused(server: ServerLHC) -> None:
    with pytest.raises(ValueError, match="65536 arrays"):
        server.publish("s", {"a": [np.zeros(1)] * 65536})
    assert server._core.stream_range("s") == (1, 0)
    server.publish("s", {"a": [np.zeros(1)] * 65535})


# ---- policy "block"


def test_a_publisher_waits_for_who_is_behind(server: ServerLHC, client: ClientLHC) -> None:
    server.declare_stream("s", history_count=4, policy="block", block_timeout_s=60)
    total = 5000
    producer = threading.Thread(
        target=lambda: [server.publish("s", {"n": n}) for n in range(total)]
    )
    with client.subscribe("s") as subscription:
        producer.start()
        numbers = [subscription.next(PATIENCE_S).data["n"] for _ in range(total)]
        producer.join()
        assert numbers == list(range(total))
        assert subscription.lost == 0


def test_who_stays_behind_is_given_up(
    server: ServerLHC, client: ClientLHC, caplog: pytest.LogCaptureFixture
) -> None:
    server.declare_stream("s", history_count=4, policy="block", block_timeout_s=0.3)
    data = {"a": np.zeros(1000)}
    with client.subscribe("s", credit_bytes=1), client.subscribe("s") as quick:
        with client.subscribe("s", latest_only=True):
            begun = time.monotonic()
            for _ in range(200):
                server.publish("s", data)
                quick.next(PATIENCE_S)
            # Once, not for each update; and nobody waits for the one who skips.
            assert 0.3 <= time.monotonic() - begun < PATIENCE_S
            assert quick.lost == 0
            waited_for = [each.waited_for for each in server.stats().subscribers]
            assert waited_for == [False, True, False]
    (told,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "held up publishing to 's'" in told.getMessage()


def test_a_waiting_publisher_is_released(make_server: Any) -> None:
    """By a follower that leaves, a change of policy, and the server's end."""
    server: ServerLHC = make_server()
    client = ClientLHC(f"tcp://127.0.0.1:{server.server_port}", timeout_s=PATIENCE_S)
    blocked = {"history_count": 1, "policy": "block", "block_timeout_s": 60}

    def released_by(act: Any) -> None:
        server.declare_stream("s", **blocked)  # type: ignore[arg-type]
        subscription = client.subscribe("s", credit_bytes=1)
        published: list[int] = []
        producer = threading.Thread(
            target=lambda: published.extend(server.publish("s", {}) for _ in range(10))
        )
        producer.start()
        wait_until(lambda: len(published) == 2, "one was sent, one is kept, the third waits")
        act(subscription)
        producer.join(PATIENCE_S)
        assert not producer.is_alive()
        subscription.close()
        wait_until(lambda: server._core.ledgers() == [], "it has left")

    released_by(lambda subscription: subscription.close())
    released_by(lambda subscription: server.declare_stream("s", policy="gap"))
    client.close()


def test_the_end_releases_a_waiting_publisher(make_server: Any) -> None:
    server: ServerLHC = make_server()
    server.declare_stream("s", history_count=1, policy="block", block_timeout_s=60)
    with ClientLHC(f"tcp://127.0.0.1:{server.server_port}") as client:
        with client.subscribe("s", credit_bytes=1):
            producer = threading.Thread(target=lambda: [server.publish("s", {}) for _ in range(10)])
            producer.start()
            wait_until(lambda: server._core.stream_range("s")[1] == 2, "the third waits")
            server.stop()
            producer.join(PATIENCE_S)
            assert not producer.is_alive()


@pytest.mark.parametrize(
    "arguments",
    [
        {"policy": "drop"},
        {"block_timeout_s": -1},
        {"block_timeout_s": float("nan")},
        {"history_bytes": -1},
        {"history_count": 0},
    ],
    ids=str,
)
def test_wrong_declarations_are_refused(server: ServerLHC, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        server.declare_stream("s", **arguments)
    assert server._core.stream_names() == []


@pytest.mark.parametrize("timestamp", [float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(server: ServerLHC, timestamp: float) -> None:
    with pytest.raises(ValueError, match="timestamp"):
        server.publish("s", {}, timestamp=timestamp)


# ---- what the server tells


def test_info_tells_of_the_streams(server: ServerLHC, client: ClientLHC) -> None:
    assert not {"epoch", "streams"} & set(client.info())
    server.declare_stream('o"ne\u00e9')
    server.declare_stream("s", history_count=2)
    for _ in range(5):
        server.publish("s", {})
    wanted = {'o"ne\u00e9': {"first": 1, "last": 0}, "s": {"first": 4, "last": 5}}
    for opaque in (False, True):  # answered by the loop; by Python
        with Peer(server) as peer:
            body = request("INFO")
            peer.send(body.replace(b'"INFO"', b'"\\u0049NFO"') if opaque else body)
            found = peer.receive()["payload"]
        assert (found["streams"], found["epoch"]) == (wanted, server.epoch)
        assert found["name"] == server.name
    server.publish("s", {})
    assert client.info()["streams"]["s"] == {"first": 5, "last": 6}


def test_the_history_of_a_server_is_that_of_its_streams(server: ServerLHC) -> None:
    for _ in range(300):
        server.publish("s", {"a": np.zeros(1000)})
        server.publish("t", {"a": np.zeros(1000)})
    assert 0.9 * 2**20 < server._core.stream_bytes("s") <= 2**20
    assert 0.9 * 2**20 < server._core.stream_bytes("t") <= 2**20


def test_a_follower_that_does_not_read_is_not_sent_more_and_more(server: ServerLHC) -> None:
    """Whatever it allows: what libzmq keeps for it is bounded."""
    server.declare_stream("s", history_bytes=1 << 30)
    array = np.zeros(1 << 20, "u1")
    payload = {"stream": "s", "subscription": 1, "start": "latest"}
    with Peer(server, zmq.DEALER, options={zmq.RCVHWM: 1}) as deaf:
        deaf.send(request("SUBSCRIBE", {**payload, "messages": 2**63, "bytes": 2**63}))
        wait_until(lambda: len(server._core.ledgers()) == 1, "it has subscribed")
        for _ in range(200):
            server.publish("s", {"a": array})
        with ClientLHC(f"tcp://127.0.0.1:{server.server_port}") as client:
            with client.subscribe("s", start="oldest") as other:
                assert [other.next(PATIENCE_S).seq for _ in range(200)] == list(range(1, 201))
        sent = next(each["sent"] for each in server._core.ledgers() if each["who"] == b'"tester"')
        # What the server keeps for it, and what the network holds.
        assert 1 <= sent <= 16 + 48


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
        assert "data['bad']: a object cannot be written" in peer.receive()["error_msg"]
        del data["bad"]
        assert len(get_arrays(peer)[2]) == 1
    assert server.stats().errors[ErrorKind.DATA] == 1


# ---- what a review found


def test_nothing_is_published_once_the_last_number_is_told(
    make_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server()
    server.declare_stream("s")
    numbers: list[int] = []
    stopping = threading.Event()

    def publish() -> None:
        while not numbers or numbers[-1]:
            numbers.append(server.publish("s", {}))
            if len(numbers) == 1000:
                stopping.set()

    producer = threading.Thread(target=publish)
    with ClientLHC(f"tcp://127.0.0.1:{server.server_port}", timeout_s=PATIENCE_S) as client:
        with client.subscribe("s") as subscription:
            producer.start()
            stopping.wait(PATIENCE_S)
            server.stop()
            producer.join(PATIENCE_S)
            while not subscription.server_ended:
                with contextlib.suppress(TimeoutError):
                    subscription.next(0.01)
            (ended,) = subscription.ended
            assert ended.complete
            assert ended.last == len(numbers) - 1
            assert ended.received + ended.lost == ended.last
    assert server.publish("s", {}) == server.publish("new", {}) == 0
    server.set_data({"still": "set"})
    assert sum("goes nowhere" in each for each in caplog.messages) == 1


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


def test_a_producer_waits_for_no_one_where_nothing_goes(
    server: ServerLHC, client: ClientLHC
) -> None:
    server.declare_stream("s", history_count=3)
    for _ in range(10):
        server.publish("s", {})
    with Peer(server, zmq.DEALER) as behind:
        payload = {"stream": "s", "subscription": 1, "start": 1, "messages": 0, "bytes": 0}
        behind.send(request("SUBSCRIBE", payload))
        wait_until(lambda: len(server._core.ledgers()) == 1, "it has subscribed")
        server.declare_stream("s", policy="block", block_timeout_s=60)
        begun = time.monotonic()
        for _ in range(200):
            server.publish("s", {"a": np.zeros(100)})
        assert time.monotonic() - begun < PATIENCE_S


def test_a_subscription_does_not_make_set_data_fail(
    server: ServerLHC, client: ClientLHC, caplog: pytest.LogCaptureFixture
) -> None:
    data = {"a": [np.zeros(1)] * 65536}
    with client.subscribe("data"):
        server.set_data(data, copy=True)
    assert len(server.data["a"]) == 65536
    assert "not published to 'data'" in caplog.text


def test_a_first_publish_does_not_undo_a_declaration(server: ServerLHC) -> None:
    server.declare_stream("s", history_count=3)
    engine_of(server).streams.declare_unless_there("s")
    for _ in range(10):
        server.publish("s", {})
    assert server._core.stream_range("s") == (8, 10)


def test_who_says_nothing_hears_no_more(server: ServerLHC) -> None:
    server.declare_stream("s")
    with Peer(server, zmq.DEALER) as peer:
        payload = {"stream": "s", "subscription": 1, "start": "latest", "messages": 9, "bytes": 99}
        peer.send(request("SUBSCRIBE", payload))
        peer.receive()
        for _ in range(8):
            assert peer.receive_frames(5)[1][5] == 2  # alive
        with pytest.raises(TimeoutError):
            peer.receive_frames(2.5)
        server.publish("s", {})
        assert peer.receive_frames()[1][5] == 1


SLOW_FOLLOWER = """
import sys
from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.engine import engine_of
server = ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR")
server.declare_stream("s", history_count=1, policy="block", block_timeout_s=1e6)
with server, ClientLHC(f"tcp://127.0.0.1:{server.server_port}") as client:
    with client.subscribe("s", credit_bytes=1):
        server.publish("s", {})
        server.publish("s", {})
        try:
            print("waits", flush=True)
            server.publish("s", {})
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""


def test_ctrl_c_reaches_a_waiting_publisher(make_child: Any) -> None:
    child = make_child(SLOW_FOLLOWER)
    assert child.hear() == "waits"
    child.process.send_signal(INTERRUPT)
    assert child.hear() == "interrupted"
    assert child.process.wait(PATIENCE_S) == 0
