"""Streams over CURVE: as without keys, and to nobody but those who may follow."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.both_clients import Kind
from support.keys import new_pair
from support.peers import PATIENCE_S, address_of
from support.proxy import Proxy
from support.secure import Lab
from support.updates import numbers, publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC, names
from laplace_server.client._frames import CLOSED_AT_HELLO
from laplace_server.client.stream_relay import Relay
from laplace_server.client.subscription_reader import LOGGER_NAME
from laplace_server.errors import NotPermitted, RequestTimeout

pytestmark = pytest.mark.transports("tcp")

NOT_ALLOWED = "it does not allow this client's key"


@pytest.fixture
def kind(kind_in_loop: Kind) -> Kind:
    return kind_in_loop


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def secure(lab: Lab) -> Iterator[ServerLHC]:
    with lab.serving() as server:
        server.declare_stream("s")
        yield server


def test_small_updates(kind: Kind, lab: Lab, secure: ServerLHC) -> None:
    with kind(address_of(secure), timeout_s=PATIENCE_S, security=lab.client("view")) as client:
        with client.subscribe("s") as subscription:
            publish(secure, 1, 20_000)
            assert numbers(subscription, 20_000) == list(range(1, 20_001))
            assert subscription.lost == 0
    wait_until(lambda: secure.stats().subscribers == (), "it has left")


def test_arrays_of_all_sizes(kind: Kind, lab: Lab, secure: ServerLHC) -> None:
    generator = np.random.default_rng(15)
    sizes = [0, 1, 1000, 8191, 8192, 8193, 70_000, 1 << 20, 5 << 20]
    arrays = [generator.integers(0, 256, size, np.uint8) for size in sizes * 3]
    with kind(address_of(secure), timeout_s=PATIENCE_S, security=lab.client("view")) as client:
        with client.subscribe("s", credit_bytes=64 << 20) as subscription:
            for array in arrays:
                secure.publish("s", {"image": array, "size": array.size, "again": array[:100]})
            for array in arrays:
                data = subscription.next(PATIENCE_S).data
                assert data["size"] == array.size
                assert np.array_equal(data["image"], array)
                assert np.array_equal(data["again"], array[:100])


def test_cuts_at_any_byte(kind: Kind, lab: Lab, secure: ServerLHC) -> None:
    generator = random.Random(15)
    left = 40

    def cut_after() -> int | None:
        nonlocal left
        left -= 1
        return generator.randrange(200_000) if left > 0 else None

    secure.declare_stream("s", history_bytes=64 << 20)
    with Proxy(secure.server_port, cut_after=cut_after) as network:
        with kind(network.address, timeout_s=PATIENCE_S, security=lab.client("view")) as client:
            with client.subscribe("s", start="oldest") as subscription:
                for n in range(1, 301):
                    secure.publish("s", {"n": n, "array": np.full(n * 50, n % 256, np.uint8)})
                for n in range(1, 301):
                    update = subscription.next(PATIENCE_S)
                    assert (update.seq, update.data["n"]) == (n, n)
                    assert update.data["array"].tobytes() == bytes([n % 256]) * (n * 50)
                assert (subscription.lost, subscription.ended) == (0, ())
        assert network.cuts > 0


def test_a_restart_is_followed(kind: Kind, lab: Lab) -> None:
    with lab.serving() as server:
        server.declare_stream("s")
        address = address_of(server)
        client = kind(address, timeout_s=PATIENCE_S, security=lab.client("view"))
        with client, client.subscribe("s") as subscription:
            publish(server, 1, 5)
            assert numbers(subscription, 5) == [1, 2, 3, 4, 5]
            server.stop()
            with lab.serving(address=address) as again:
                again.declare_stream("s")
                publish(again, 1, 3)
                assert [subscription.next(PATIENCE_S).seq for _ in range(3)] == [1, 2, 3]
            (ended,) = subscription.ended[:1]
            assert (ended.received, ended.lost, ended.complete) == (5, 0, True)


def test_the_newest_and_going_on(kind: Kind, lab: Lab, secure: ServerLHC) -> None:
    publish(secure, 1, 50)
    security = lab.client("view")
    with kind(address_of(secure), timeout_s=PATIENCE_S, security=security) as client:
        with client.subscribe("s", start="newest", name="display") as subscription:
            (seen,) = secure.stats().subscribers
            assert (seen.who, seen.first) == ("display", 50)
            update = subscription.next(PATIENCE_S)
            assert (update.seq, update.lost_before) == (50, 0)
        publish(secure, 51, 80)
    with kind(address_of(secure), timeout_s=PATIENCE_S, security=security) as client:
        with client.subscribe("s", start=update.following) as subscription:
            found: list[int] = []
            while not found or found[-1] < 80:
                found += [each.seq for each in subscription.take(PATIENCE_S)]
            assert found == list(range(51, 81))
            assert (subscription.lost, subscription.ended) == (0, ())


def test_a_key_that_comes_and_goes(kind: Kind, lab: Lab, secure: ServerLHC) -> None:
    late = new_pair()
    client = kind(address_of(secure), timeout_s=0.5, security=lab.of(late))
    with client:
        with pytest.raises(RequestTimeout) as caught:
            client.subscribe("s", timeout_s=0.5)
        assert caught.value.reason == NOT_ALLOWED
        with client.subscribe("s", start="oldest") as subscription:
            assert subscription.epoch == 0
            publish(secure, 1, 2)
            lab.security.allow(late.public, "view", "late")
            assert numbers(subscription, 2) == [1, 2]
            lab.security.revoke("late")
            wait_until(lambda: secure.stats().subscribers == (), "it is not served any more")
            publish(secure, 3, 4)
            with pytest.raises(TimeoutError):
                subscription.next(0.5)
            lab.security.allow(late.public, "view", "late")
            assert numbers(subscription, 4) == [3, 4]
            assert subscription.lost == 0


def test_why_it_is_not_followed_any_more(
    kind: Kind, lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """Its key is removed; the server has another one; there is no server."""

    def becomes(subscription: Any, why: str) -> bool:
        with pytest.raises(TimeoutError) as caught:
            subscription.next(0.1)
        return subscription.trouble == why and str(caught.value).endswith(f"in time: {why}")

    guest = new_pair()
    lab.security.allow(guest.public, "view", "guest")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(lab.serving())
        server.declare_stream("s")
        address = address_of(server)
        client = stack.enter_context(kind(address, timeout_s=2.0, security=lab.of(guest)))
        subscription = stack.enter_context(client.subscribe("s", timeout_s=PATIENCE_S))
        with pytest.raises(TimeoutError, match=r"no update of 's' in time$"):
            subscription.next(0.1)
        assert subscription.trouble is None
        lab.security.revoke("guest")
        wait_until(lambda: becomes(subscription, NOT_ALLOWED), "it is told why")
        server.stop()
        wait_until(lambda: becomes(subscription, names.NOBODY), "it is told why")
        other = Lab()
        other.security.allow(guest.public, "view", "guest")
        server = stack.enter_context(other.serving(address=address))
        wait_until(lambda: becomes(subscription, CLOSED_AT_HELLO), "it is told why")
    told = [each.getMessage() for each in caplog.records if each.name == LOGGER_NAME]
    text = f"stream 's' of {address} is not followed any more, and waited for: "
    for why in (NOT_ALLOWED, names.NOBODY, CLOSED_AT_HELLO):
        assert told.count(text + why) == 1


def test_a_role_that_may_not_follow(kind: Kind, lab: Lab, secure: ServerLHC) -> None:
    reader = new_pair()
    lab.security.allow(reader.public, {"GET"}, "reader")
    with kind(address_of(secure), timeout_s=PATIENCE_S, security=lab.of(reader)) as client:
        assert client.get() == {}
        with pytest.raises(NotPermitted, match="may not use 'SUBSCRIBE'"):
            client.subscribe("s")


def test_many_subscribers(lab: Lab, secure: ServerLHC) -> None:
    """What they share is sealed for each."""
    image = np.arange(1 << 18, dtype=np.uint32)
    with ClientLHC(address_of(secure), timeout_s=PATIENCE_S, security=lab.client()) as client:
        subscriptions = [client.subscribe("s", timeout_s=PATIENCE_S) for _ in range(8)]
        for n in range(1, 9):
            secure.publish("s", {"n": n, "image": image + n})
        for subscription in subscriptions:
            for n in range(1, 9):
                update = subscription.next(PATIENCE_S)
                assert update.data["n"] == n
                assert np.array_equal(update.data["image"], image + n)
            subscription.close()


def test_a_relay_has_the_keys_of_its_client(lab: Lab, secure: ServerLHC) -> None:
    client = ClientLHC(address_of(secure), timeout_s=PATIENCE_S, security=lab.client("view"))
    relay = Relay(
        client,
        "s",
        own_client=True,
        start="latest",
        latest_only=False,
        credit_bytes=1 << 20,
        ring=lambda: None,
    )
    relay.start()
    try:
        wait_until(lambda: secure.stats().subscribers, "it follows")
        publish(secure, 1, 3)
        wait_until(lambda: relay.lag >= 3, "updates are there")
        delivery = relay.take()
        assert delivery is not None
        assert [each.seq for each in delivery.updates] == [1, 2, 3]
    finally:
        relay.end()
        relay.join(PATIENCE_S)
