"""Streams: every update in order, or a plain word on how many are lost; ledgers add up."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import numpy as np
import pytest
from support.both_clients import Kind
from support.isolated import Child
from support.peers import PATIENCE_S
from support.updates import adds_up
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.errors import ClientClosed, RemoteError, RequestTimeout
from laplace_server.stream import Subscription


def taken(subscription: Subscription, upto: int) -> list[Any]:
    """Updates until the one of that number."""
    found = [subscription.next(PATIENCE_S)]
    while found[-1].seq < upto:
        found.append(subscription.next(PATIENCE_S))
    return found


# ---- what is published arrives


def test_updates_arrive_in_order(server: ServerLHC, client: ClientLHC) -> None:
    with client.subscribe("s") as subscription:
        begun = time.time()
        numbers = [server.publish("s", {"n": n}) for n in range(1000)]
        updates = taken(subscription, 1000)
        assert numbers == [update.seq for update in updates] == list(range(1, 1001))
        assert [update.data for update in updates] == [{"n": n} for n in range(1000)]
        assert {update.epoch for update in updates} == {server.epoch}
        assert all(begun <= update.timestamp <= time.time() for update in updates)
        assert subscription.lost == 0
        assert subscription.lag == 0


def test_the_time_is_the_producers(server: ServerLHC, client: ClientLHC) -> None:
    with client.subscribe("s") as subscription:
        server.publish("s", {}, timestamp=1.5)
        assert subscription.next(PATIENCE_S).timestamp == 1.5


VALUES = [
    {},
    {"é": "ü", "list": [1, [2, {"a": None}]], "true": True},
    {"nan": math.nan, "inf": [math.inf, -math.inf]},
    {"long": 10**30, "minus": -(10**25), "list": [2**64 - 1]},
    {1: "a key", None: 2},
    {"text": "x" * 300_000},
]


@pytest.mark.parametrize("data", VALUES, ids=lambda data: str(list(data))[:20])
def test_every_value_arrives(server: ServerLHC, client: ClientLHC, data: dict[Any, Any]) -> None:
    with client.subscribe("s") as subscription:
        server.publish("s", data)
        found = subscription.next(PATIENCE_S).data
        wanted = {("null" if key is None else str(key)): value for key, value in data.items()}
        assert repr(found) == repr(wanted)


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">f8", "f4", "f2", "c16", "?", "<u8"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4), (500, 300)])
def test_every_array_arrives(
    server: ServerLHC, client: ClientLHC, dtype: str, shape: tuple[int, ...]
) -> None:
    array = (np.arange(math.prod(shape)) % 100).astype(dtype).reshape(shape)
    with client.subscribe("s") as subscription:
        server.publish("s", {"a": array, "deep": [1, {2: array.T, "\udc80": (array,)}], "n": 5})
        data = subscription.next(PATIENCE_S).data
        assert data["n"] == 5
        deep = data["deep"][1]
        pairs = ((data["a"], array), (deep["2"], array.T), (deep["\udc80"][0], array))
        for found, wanted in pairs:
            assert found.dtype == wanted.dtype
            assert found.shape == wanted.shape
            assert np.array_equal(found, wanted)
            assert not found.flags.writeable


def test_an_array_is_sent_as_it_was_when_published(server: ServerLHC, client: ClientLHC) -> None:
    array = np.zeros(100_000)
    with client.subscribe("s") as subscription:
        for n in range(5):
            array[:] = n
            server.publish("s", {"a": array})
        for n in range(5):
            assert (subscription.next(PATIENCE_S).data["a"] == n).all()


def test_what_cannot_be_sent_is_refused(server: ServerLHC) -> None:
    refused: list[Any] = [5, [1], {"x": object()}, {"x": [b"x"]}]
    for data in refused:
        with pytest.raises(TypeError):
            server.publish("s", data)
    assert server.publish("s", {"x": 1}) == 1


# ---- where it begins


@pytest.mark.parametrize(
    ("start", "first"), [("latest", 101), ("oldest", 1), (1, 1), (50, 50), (101, 101)]
)
def test_start(server: ServerLHC, client: ClientLHC, start: str | int, first: int) -> None:
    for n in range(1, 101):
        server.publish("s", {"n": n})
    with client.subscribe("s", start=start) as subscription:
        server.publish("s", {"n": 101})
        updates = taken(subscription, 101)
        assert [update.data["n"] for update in updates] == list(range(first, 102))


def test_a_late_joiner_sees_no_hole_up_to_the_live_tail(
    server: ServerLHC, client: ClientLHC
) -> None:
    total = 20_000
    half = threading.Event()

    def publish() -> None:
        for n in range(total):
            server.publish("s", {"n": n})
            if n == total // 2:
                half.set()

    producer = threading.Thread(target=publish)
    producer.start()
    half.wait(PATIENCE_S)
    with client.subscribe("s", start="oldest") as subscription:
        updates = taken(subscription, total)
    producer.join()
    assert [update.seq for update in updates] == list(range(1, total + 1))


@pytest.mark.parametrize("start", [0, -1, 3, "first", None, 1.0, True])
def test_a_wrong_start_is_refused(server: ServerLHC, client: ClientLHC, start: Any) -> None:
    server.publish("s", {})
    payload = {"stream": "s", "subscription": 1, "start": start, "messages": 1, "bytes": 1}
    with pytest.raises(RemoteError, match="'start' must be"):
        client.request("SUBSCRIBE", payload)


def test_a_start_beyond_the_next_update_is_refused(server: ServerLHC, client: ClientLHC) -> None:
    server.publish("s", {})
    with pytest.raises(RemoteError, match="'newest', 'oldest' or a number from 1"):
        client.subscribe("s", start=3)


def test_an_unknown_stream_is_refused(client: ClientLHC) -> None:
    with pytest.raises(RequestTimeout, match=r"No such stream: 'x'. There are: s."):
        client.subscribe("x", timeout_s=0.1)


def test_subscriptions_are_bounded(
    server: ServerLHC, client: ClientLHC, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("laplace_server.server.granting.MAX_SUBSCRIPTIONS", 2)
    with client.subscribe("s") as one, client.subscribe("s"):
        with pytest.raises(RemoteError, match="2 subscriptions already"):
            client.subscribe("s")
        one.close()
        wait_until(lambda: len(server._core.streams.ledgers()) == 1, "one has left")
        client.subscribe("s").close()


# ---- what is lost is told


def test_a_history_far_too_small_loses_and_tells(server: ServerLHC, client: ClientLHC) -> None:
    server.declare_stream("s", history_bytes=10_000)
    total = 30_000
    with client.subscribe("s") as subscription:
        for n in range(total):
            server.publish("s", {"n": n, "pad": "p" * 50})
        updates = taken(subscription, total)
        assert adds_up(updates, 1, total)
        assert all(update.data["n"] == update.seq - 1 for update in updates)
        assert subscription.lost == sum(update.lost_before for update in updates) > 0

        def ledger() -> dict[str, Any]:
            return server._core.streams.ledgers()[0]

        # What was sent is written down when libzmq has it, and may arrive before.
        wait_until(lambda: ledger()["sent"] + ledger()["lost"] == total, "the ledger adds up")
        assert ledger()["lost"] == subscription.lost
    assert server._core.streams.history_bytes("s") < 100_000


def test_credit_bounds_what_is_on_the_way(server: ServerLHC, client: ClientLHC) -> None:
    array = np.zeros(100_000, "u1")
    with client.subscribe("s", credit_bytes=250_000) as subscription:
        for _ in range(50):
            server.publish("s", {"a": array})
        wait_until(
            lambda: server._core.streams.ledgers()[0]["messages"] == 3, "sent what is allowed"
        )
        updates = taken(subscription, 50)
        assert adds_up(updates, 1, 50)
        assert subscription.lost == 0


def test_the_statistics_tell_of_each_subscriber(server: ServerLHC, client: ClientLHC) -> None:
    assert server.stats().subscribers == ()
    server.publish("s", {})
    with client.subscribe("s", credit_bytes=1000) as subscription:
        (seen,) = server.stats().subscribers
        assert (seen.stream, seen.who, seen.first, seen.sent) == ("s", client.name, 2, 0)
        assert (seen.lag, seen.credit_messages, seen.credit_bytes) == (0, 16, 1000)
        for _ in range(3):
            server.publish("s", {"pad": "p" * 1000})
            wait_until(lambda: server.stats().subscribers[0].credit_bytes == 0, "sent, or waits")
        (seen,) = server.stats().subscribers
        assert (seen.sent, seen.lost, seen.lag) == (1, 0, 2)
        assert adds_up(taken(subscription, 4), 2, 4)
    wait_until(lambda: server.stats().subscribers == (), "it has left")


def test_latest_only_skips_to_the_newest(server: ServerLHC, client: ClientLHC) -> None:
    with client.subscribe("s", latest_only=True) as subscription:
        for n in range(1000):
            server.publish("s", {"n": n})
        updates = taken(subscription, 1000)
        assert len(updates) < 1000
        assert adds_up(updates, 1, 1000)
        assert subscription.lost == 1000 - len(updates)


def test_several_subscribers_each_get_all(server: ServerLHC, client: ClientLHC) -> None:
    total = 5000
    server.declare_stream("t")
    subscriptions = [client.subscribe(name) for name in ("s", "t", "s", "t", "s")]
    for n in range(total):
        server.publish("s", {"s": n})
        server.publish("t", {"t": n})
    for subscription in subscriptions:
        updates = taken(subscription, total)
        wanted = [{subscription.stream: n} for n in range(total)]
        assert [update.data for update in updates] == wanted
        subscription.close()


def test_a_reader_that_does_not_take_holds_up_nobody(server: ServerLHC, client: ClientLHC) -> None:
    server.declare_stream("s", history_bytes=1 << 20)
    data = {"a": np.zeros(50_000)}
    with client.subscribe("s"), client.subscribe("s") as quick:
        for n in range(1, 201):
            assert server.publish("s", data) == n
            assert quick.next(PATIENCE_S).seq == n
        assert quick.lost == 0
        assert client.ping() < PATIENCE_S


# ---- ends and returns


def test_nothing_comes_in_time(server: ServerLHC, client: ClientLHC) -> None:
    with client.subscribe("s") as subscription:
        with pytest.raises(TimeoutError):
            subscription.next(0.05)
        server.publish("s", {})
        assert subscription.next(PATIENCE_S).seq == 1
    with pytest.raises(ClientClosed):
        subscription.next(0.05)
    subscription.close()


def test_a_closed_subscription_leaves_the_ledgers(server: ServerLHC, client: ClientLHC) -> None:
    subscription = client.subscribe("s")
    assert [ledger["stream"] for ledger in server._core.streams.ledgers()] == ["s"]
    subscription.close()
    wait_until(lambda: server._core.streams.ledgers() == [], "it has left")


SUBSCRIPTION = """
import sys
from laplace_server.client import ClientLHC
with ClientLHC(sys.argv[1]) as client:
    subscription = client.subscribe("s")
    print("begun", flush=True)
    for update in subscription:
        print(update.seq, flush=True)
"""


def test_a_killed_subscriber_is_forgotten(server: ServerLHC, make_child: Any) -> None:
    child: Child = make_child(SUBSCRIPTION, f"tcp://127.0.0.1:{server.server_port}")
    assert child.hear() == "begun"
    server.publish("s", {})
    assert child.hear() == "1"
    child.process.kill()
    wait_until(lambda: server._core.streams.ledgers() == [], "it is forgotten")


def test_a_restarted_server_is_followed_on(kind: Kind, make_server: Any) -> None:
    first = make_server()
    first.declare_stream("s")
    port = first.server_port
    with kind(f"tcp://127.0.0.1:{port}") as client, client.subscribe("s") as subscription:
        for n in range(10):
            first.publish("s", {"n": n})
        assert adds_up(taken(subscription, 10), 1, 10)
        first.stop()
        with pytest.raises(TimeoutError):
            subscription.next(0.3)
        assert subscription.server_ended
        (ended,) = subscription.ended
        assert (ended.received, ended.lost, ended.last, ended.complete) == (10, 0, 10, True)
        second = make_server(address=f"tcp://127.0.0.1:{port}", start=False)
        second.declare_stream("s")
        for n in range(5):
            second.publish("s", {"n": n})
        second.start()
        updates = [subscription.next(PATIENCE_S) for _ in range(5)]
        assert [update.seq for update in updates] == [1, 2, 3, 4, 5]
        assert {update.epoch for update in updates} == {second.epoch} != {first.epoch}
        assert not subscription.server_ended
        assert subscription.lost == 0


def test_a_computing_thread_does_not_hold_up_deliveries(
    server: ServerLHC, client: ClientLHC
) -> None:
    """What is published leaves without the GIL; here only the thread that takes it needs it."""
    with client.subscribe("s") as subscription:
        for _ in range(100):
            server.publish("s", {"x": 1})
        done = threading.Event()

        def compute() -> None:
            while not done.is_set():
                sum(range(1000))

        computing = threading.Thread(target=compute)
        computing.start()
        try:
            assert adds_up(taken(subscription, 100), 1, 100)
        finally:
            done.set()
            computing.join()
