"""Streams where few programs go: odd names, times and arrays, callbacks, forks, ends."""

from __future__ import annotations

import functools
import json
import math
import os
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.machine import WINDOWS, within
from support.peers import PATIENCE_S, request
from support.serving import client_of
from support.stream_peers import (
    ALIVE,
    CREDIT,
    END,
    MAGIC,
    MOST,
    UPDATES,
    Book,
    WirePeer,
    at_rest,
    control,
)
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.errors import ForkedServerError, RequestTimeout

# ---- names, times, values


@pytest.mark.parametrize(
    "name",
    ['"', "'\\", "\0", "a\0b", "\n\r\t", " ", "é漢😀", "\u202e\ufeff", "data2", "x" * 10_000, "{}"],
    ids=lambda name: ascii(name)[:20],
)
def test_any_text_is_a_name(server: ServerLHC, name: str) -> None:
    assert server.publish(name, {"n": 1}) == 1
    with client_of(server) as client, client.subscribe(name, start="oldest") as subscription:
        assert subscription.next(PATIENCE_S).data == {"n": 1}
        assert [seen.stream for seen in server.stats().subscribers] == [name]
        assert client.info()["streams"][name] == {"first": 1, "last": 1}
        with pytest.raises(RequestTimeout, match="No such stream"):
            client.subscribe(name + "?", timeout_s=0.1)


@pytest.mark.parametrize("name", ["", None, 5, b"s", ["s"], "\ud800", "a\udfffb"], ids=ascii)
def test_anything_else_is_none(server: ServerLHC, name: Any) -> None:
    for use in (lambda: server.declare_stream(name), lambda: server.publish(name, {})):
        with pytest.raises((TypeError, ValueError)):
            use()
    assert server._core.streams.names() == ["s"]
    with WirePeer(server) as peer:
        reply = peer.ask(
            "SUBSCRIBE",
            {
                "stream": repr(name),
                "subscription": 1,
                "start": "latest",
                "messages": 1,
                "bytes": 1,
            },
        )
        assert reply["error_msg"]


@pytest.mark.parametrize("stamp", [math.nan, math.inf, -math.inf, "now", None, 10**400, 1j])
def test_a_time_that_is_none_is_refused(server: ServerLHC, stamp: Any) -> None:
    if stamp is None:
        assert server.publish("s", {}, timestamp=None) == 1
        return
    with pytest.raises((TypeError, ValueError, OverflowError)):
        server.publish("s", {}, timestamp=stamp)
    assert server.publish("s", {}) == 1


@pytest.mark.parametrize("stamp", [-1.5, 0, 5e-324, 1.7e308, True, np.float32(2.5), 2**70])
def test_every_number_of_seconds_arrives(server: ServerLHC, stamp: Any) -> None:
    with client_of(server) as client, client.subscribe("s") as subscription:
        server.publish("s", {}, timestamp=stamp)
        assert subscription.next(PATIENCE_S).timestamp == float(stamp)


class Measured(np.ndarray):
    """A subclass, as programs have them."""


ARRAYS = {
    "masked": lambda: np.ma.masked_array([1.0, 2.0], mask=[False, True]),
    "matrix": lambda: np.asmatrix([[1.0, 2.0], [3.0, 4.0]]),
    "large matrix": lambda: np.asmatrix(np.arange(40_000.0).reshape(200, 200)),
    "subclass": lambda: np.arange(6.0).reshape(2, 3).view(Measured),
    "reversed": lambda: np.arange(10)[::-3],
    "broadcast": lambda: np.broadcast_to(np.float32(1.5), (3, 4)),
    "Fortran": lambda: np.asfortranarray(np.arange(40_000.0).reshape(200, 200)),
    "read-only": lambda: np.frombuffer(bytes(range(100)), "u1"),
    "big-endian": lambda: np.arange(5, dtype=">i4"),
    "unaligned": lambda: np.frombuffer(bytes(33), "u1")[1:].view("<f8"),
    "empty": lambda: np.zeros((3, 0, 2)),
    "texts": lambda: np.array(["a", "b"]),
    "days": lambda: np.array(["2020-01-01"], "M8[D]"),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("way", ["publish", "given away", "set_data"])
@pytest.mark.parametrize("kind", ARRAYS)
def test_every_kind_of_array_arrives_as_a_get_shows_it(
    server: ServerLHC, kind: str, way: str
) -> None:
    server.declare_stream("data")
    array = ARRAYS[kind]()
    server.set_data({"a": array}, copy=True)
    with client_of(server) as client:
        wanted = client.get()["a"]
        with client.subscribe("data" if way == "set_data" else "s") as subscription:
            if way == "set_data":
                server.set_data({"a": array})
            else:
                server.publish("s", {"a": array}, copy=way == "publish")
            found = subscription.next(PATIENCE_S).data["a"]
            assert (found.tolist() if isinstance(found, np.ndarray) else found) == wanted
            assert getattr(found, "shape", array.shape) == array.shape


@pytest.mark.parametrize("count", [65_535, 65_536, 65_537, 200_000])
def test_arrays_without_number(server: ServerLHC, count: int) -> None:
    """16 bits count them on the wire: all arrive, or publish says no."""
    with client_of(server) as client, client.subscribe("s") as subscription:
        try:
            server.publish("s", {"n": [np.zeros(1, "u1")] * count})
        except ValueError:
            assert count > 65_535
            assert server.publish("s", {"n": []}) == 1
        else:
            found = subscription.next(PATIENCE_S).data["n"]
            assert len(found) == count
            assert all(isinstance(each, np.ndarray) for each in found)


@pytest.mark.parametrize(
    "arguments",
    [
        {"history_bytes": -1},
        {"history_bytes": "1"},
        {"history_bytes": math.nan},
        {"history_count": 0},
        {"history_count": 1.5},
        {"history_count": True},
        {"policy": "drop"},
        {"policy": "block", "block_timeout_s": math.nan},
        {"policy": "block", "block_timeout_s": -1},
        {"policy": "block", "block_timeout_s": math.inf},
    ],
    ids=str,
)
def test_a_wrong_declaration_changes_nothing(server: ServerLHC, arguments: Any) -> None:
    server.declare_stream("s", history_count=2)
    with pytest.raises((TypeError, ValueError), match="' must be "):
        server.declare_stream("s", **arguments)
    for _ in range(5):
        server.publish("s", {})
    assert server._core.streams.range_of("s") == (4, 5)


# ---- who publishes when


def test_a_callback_publishes_and_follows(server: ServerLHC) -> None:
    """Also to the one who waits for the callback."""

    def moved(positions: Any) -> None:
        for n in range(5):
            server.publish("s", {"p": positions, "n": n})
        server.declare_stream("made in a callback")
        server.publish("made in a callback", {})

    server.set_on_position_changed(moved)
    with WirePeer(server) as peer:
        subscriber = peer.subscribe("s")
        assert peer.ask("SET", {"positions": 1})["error_msg"] is None
        peer.read_until(lambda: subscriber.next == 6, "all five")
        assert peer.subscribe("made in a callback", number=2, start="oldest").next == 1


def test_a_server_with_a_busy_callback_goes_on_publishing(server: ServerLHC) -> None:
    """Only SUBSCRIBE waits for it."""
    begun, over = threading.Event(), threading.Event()

    def moved(positions: Any) -> None:
        begun.set()
        over.wait(PATIENCE_S)

    server.set_on_position_changed(moved)
    with WirePeer(server) as peer, WirePeer(server) as other:
        subscriber = peer.subscribe("s", messages=5)
        other.send(b'{"from":"x","to":"y","cmd":"SET","payload":{"positions":1},"version":"0.2.2"}')
        assert begun.wait(PATIENCE_S)
        for n in range(20):
            server.publish("s", {"n": n})
            peer.grant(1, n + 5, MOST)
        peer.read_until(lambda: subscriber.next == 21, "all")
        over.set()


def test_published_before_the_start(make_server: Any) -> None:
    server = make_server(start=False)
    book = Book(server)
    for n in range(10):
        book.publish("s", {"n": n})
    server.start()
    with WirePeer(server) as peer:
        subscriber = peer.subscribe("s", start="oldest")
        at_rest(server, [peer])
        assert subscriber.next == 11
        subscriber.verify(book, 1)


def test_history_changes_do_not_touch_numbers(server: ServerLHC) -> None:
    book = Book(server)
    with WirePeer(server) as peer:
        subscriber = peer.subscribe("s", messages=0)
        for history in (1 << 20, 0, 100, 1 << 20, 3000):
            server.declare_stream("s", history_bytes=history)
            for n in range(300):
                book.publish("s", {"n": n, "pad": "p" * 500})
        peer.grant(1, MOST, MOST)
        found = at_rest(server, [peer])
        subscriber.agree(found[subscriber.who], 1500)
        subscriber.verify(book, server._core.streams.range_of("s")[0])
        assert subscriber.next == 1501
        assert subscriber.lost > 1000


def test_many_threads_declare_and_publish_the_same(server: ServerLHC) -> None:
    """Each update has one number, whoever made the stream."""
    numbers: list[int] = []
    barrier = threading.Barrier(8)

    def work() -> None:
        for round_ in range(20):
            barrier.wait(PATIENCE_S)
            numbers.append(server.publish(f"new {round_}", {}))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(numbers) == sorted(list(range(1, 9)) * 20)


# ---- policy "block"


@pytest.mark.parametrize("end", ["leave", "cut", "credit", "gap", "stop", "time-out"])
def test_a_waiting_publisher_is_let_go(server: ServerLHC, end: str) -> None:
    """Whatever ends its wait: at once, and with nothing lost but after the time-out."""
    patience = 0.3 if end == "time-out" else 1e6
    server.declare_stream("s", history_count=3, policy="block", block_timeout_s=patience)
    book = Book(server)
    took: list[float] = []

    def publish() -> None:
        begun = time.monotonic()
        for n in range(5):
            book.publish("s", {"n": n})
        took.append(time.monotonic() - begun)

    producer = threading.Thread(target=publish)
    with WirePeer(server) as peer:
        subscriber = peer.subscribe("s", messages=0)
        producer.start()
        wait_until(lambda: server._core.streams.range_of("s")[1] == 3, "it waits")
        producer.join(0.1)
        assert producer.is_alive() or end == "time-out"
        if end == "leave":
            peer.leave(1)
        elif end == "cut":
            peer.close()
        elif end == "credit":
            peer.grant(1, MOST, MOST)
            peer.read_until(lambda: subscriber.next == 6, "all")
            assert subscriber.lost == 0
        elif end == "gap":
            server.declare_stream("s", history_count=3)
        elif end == "stop":
            begun = time.monotonic()
            server.stop()
            assert time.monotonic() - begun < within(2.2)
        producer.join(PATIENCE_S)
        assert not producer.is_alive()
        assert took[0] >= (0.3 if end == "time-out" else 0.0)
        if end == "time-out":
            (seen,) = server.stats().subscribers
            assert not seen.waited_for
            peer.grant(1, MOST, MOST)
            peer.read_until(lambda: subscriber.next == 6, "the others")
            assert subscriber.lost == 2


def test_blocking_loses_nothing_while_subscribers_come_and_go(make_server: Any) -> None:
    """Slow readers, small histories, several producers: with patience, whoever stays gets all."""
    server = make_server()
    server.declare_stream("s", history_count=7, policy="block", block_timeout_s=60)
    book = Book(server)

    def publish(pad: int) -> None:
        for n in range(400):
            book.publish("s", {"n": n, "pad": "p" * (pad * n % 700)})

    producers = [threading.Thread(target=publish, args=(pad,)) for pad in (0, 1, 50)]
    with WirePeer(server) as stays, WirePeer(server) as leaves:
        subscriber = stays.subscribe("s", messages=0)
        for producer in producers:
            producer.start()
        messages = 0
        while subscriber.next <= 1200:
            messages += 1
            stays.grant(1, messages, MOST)
            if 5 not in leaves.subscribers:
                leaves.subscribe("s", number=5, messages=1)
            elif messages % 10 == 0:
                leaves.leave(5)
            else:
                leaves.grant(5, leaves.subscribers[5].messages + 1, MOST)
            stays.read()
            leaves.read_on()
        for producer in producers:
            producer.join(PATIENCE_S)
        assert subscriber.lost == 0
        subscriber.verify(book, 1)


# ---- forks, ends


@pytest.mark.skipif(WINDOWS, reason="there are no forks")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_can_not_publish_and_is_no_harm(server: ServerLHC) -> None:
    uses: list[Callable[[], Any]] = [
        lambda: server.publish("s", {}),
        lambda: server.declare_stream("other"),
        lambda: server.set_data({}),
        lambda: server.stats(),
    ]
    with client_of(server) as client, client.subscribe("s") as subscription:
        for _ in range(20):
            server.publish("s", {"a": np.zeros(30_000, "u1")}, copy=False)
        child = os.fork()
        if child == 0:  # pragma: no cover - in another process
            refused = 0
            try:
                for use in uses:
                    try:
                        use()
                    except ForkedServerError:
                        refused += 1
                subscription.close()
            finally:
                os._exit(0 if refused == len(uses) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        server.publish("s", {})
        assert [subscription.next(PATIENCE_S).seq for _ in range(21)] == list(range(1, 22))


def has_begun(server: ServerLHC) -> bool:
    return server.stats().subscribers != ()


def test_subscribing_to_a_server_that_stops(make_server: Any) -> None:
    """What it has granted it ends; nobody stays in its lists."""
    granted_in_all = 0
    for n in range(20):
        server = make_server()
        server.declare_stream("s")
        server.publish("s", {})
        with WirePeer(server) as peer:
            peer.barrier()
            for number in range(10):
                payload = {"stream": "s", "subscription": number, "start": "oldest"}
                payload |= {"messages": 5, "bytes": 5000}
                peer.send(request("SUBSCRIBE", payload, sender=str(number)))
                peer.send(control(CREDIT, number, 10, 10_000))
            if n % 2:
                wait_until(functools.partial(has_begun, server), "one has begun")
            server.stop()
            assert server.stats().subscribers == ()
            granted, kinds = set(), []
            while not peer.peer.silent(0.05):
                _, body = peer.peer.receive_frames()
                if body[:4] == MAGIC:
                    kinds.append((struct.unpack_from("<I", body, 8)[0], body[5]))
                elif (reply := json.loads(body))["error_msg"] is None:
                    granted.add(int(reply["to"]))
            assert {number for number, kind in kinds if kind == UPDATES} <= granted
            assert sorted(number for number, kind in kinds if kind == END) == sorted(granted)
            granted_in_all += len(granted)
    assert granted_in_all > 0


def test_alive_comes_each_second_also_without_credit(server: ServerLHC) -> None:
    """So that a subscriber knows: the server is there, and what it has published."""
    with WirePeer(server) as peer:
        subscriber = peer.subscribe("s", messages=0)
        for last in (3, 6):
            for _ in range(3):
                server.publish("s", {})
            begun = time.monotonic()
            header = peer.read()
            assert header is not None
            assert (header.kind, header.first, header.last) == (ALIVE, 1, last)
            assert time.monotonic() - begun < within(2)
        assert subscriber.sent == 0
