"""Subscriptions on a bad network: breaks are resumed, losses told, nothing comes twice."""

from __future__ import annotations

import functools
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support.machine import within
from support.proxy import Proxy
from support.serving import limited
from support.stream_accounts import IMPATIENT, Following, set_constants
from support.waiting import wait_until

from laplace_server import ServerLHC


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    import laplace_server.stream  # noqa: F401

    set_constants(IMPATIENT, monkeypatch)


@pytest.fixture
def proxy(server: ServerLHC) -> Iterator[Proxy]:
    with Proxy(server.server_port) as proxy:
        yield proxy


def publish(server: ServerLHC, count: int, size: int = 10) -> int:
    """Some more updates that tell their number; the number of the last one."""
    number = server._core.streams.range_of("s")[1]
    for _ in range(count):
        number = server.publish("s", {"n": number + 1, "a": np.zeros(size, "u1")})
    return number


def subscribers(server: ServerLHC) -> int:
    return len(server.stats().subscribers)


def quiet(server: ServerLHC, last: int) -> bool:
    """Whether the only subscription has all, and has said so."""
    return [seen.confirmed for seen in server.stats().subscribers] == [last + 1]


# ---- cuts


def cuts(seed: int, count: int, most: int) -> Callable[[], int | None]:
    """Where connections break: the first one late, then anywhere, then nowhere any more."""
    chance = random.Random(seed)
    places: list[int | None] = [chance.randrange(1000, most)]
    # From within the greeting to within updates.
    places += [int(2 ** chance.uniform(0, np.log2(most))) for _ in range(count - 1)]
    return lambda: places.pop(0) if places else None


@pytest.mark.parametrize(
    ("seed", "history", "size"),
    [
        (1, 64 << 20, 10),
        (2, 64 << 20, 3000),
        (3, 40_000, 10),
        (4, 40_000, 3000),
    ],
)
def test_connections_that_break_at_any_byte(
    server: ServerLHC, seed: int, history: int, size: int
) -> None:
    server.declare_stream("s", history_bytes=history)
    with Proxy(server.server_port, cut_after=cuts(seed, 6, 30_000)) as proxy:
        with Following(proxy.address) as subscription:
            total = 0
            while proxy.cuts < 6 and subscription.problem is None:
                total = publish(server, 20, size)
                time.sleep(0.01)
                assert total < 100_000
            total = publish(server, 20, size)
            subscription.reach(server.epoch, total)
        assert subscription.account.adds_up(server.epoch, total)
        assert subscription.lost == subscription.account.lost
        assert subscription.lost == 0 or history < 1 << 20
        assert proxy.accepted > 6


def test_a_connection_that_breaks_within_a_large_update(server: ServerLHC) -> None:
    """What came of it is thrown away; it comes whole, once."""
    places = [5_000, 1_200_000, 3_300_000]
    with Proxy(server.server_port, cut_after=lambda: places.pop(0) if places else None) as proxy:
        with Following(proxy.address) as subscription:
            total = publish(server, 8, 1_000_000)
            subscription.reach(server.epoch, total)
        assert proxy.cuts == 3
        assert subscription.account.adds_up(server.epoch, 8)
        assert subscription.lost == 0


def test_many_subscriptions_are_cut_off_at_once(server: ServerLHC, proxy: Proxy) -> None:
    subscriptions = [Following(proxy.address, latest_only=n == 0) for n in range(5)]
    try:
        for _ in range(3):
            total = publish(server, 200)
            subscriptions[1].reach(server.epoch, total)
            proxy.cut()
        total = publish(server, 200)
        for subscription in subscriptions:
            subscription.reach(server.epoch, total)
            assert subscription.account.adds_up(server.epoch, total)
        assert all(subscription.lost == 0 for subscription in subscriptions[1:])
        wait_until(lambda: subscribers(server) == 5, "those of the broken ones are forgotten")
    finally:
        for subscription in subscriptions:
            subscription.close()
    wait_until(lambda: subscribers(server) == 0, "all have left")


# ---- slow ways


def test_a_long_way(server: ServerLHC, proxy: Proxy) -> None:
    proxy.delay_s = 0.01
    with Following(proxy.address) as subscription:
        for _ in range(10):
            total = publish(server, 50)
            time.sleep(0.002)
        subscription.reach(server.epoch, total)
        assert subscription.account.adds_up(server.epoch, total)
        assert subscription.lost == 0


@pytest.mark.parametrize("latest_only", [False, True])
def test_a_narrow_way_loses_and_tells(server: ServerLHC, proxy: Proxy, latest_only: bool) -> None:
    """The server publishes ten times what passes, with a history of a tenth of a second."""
    server.declare_stream("s", history_bytes=500_000)
    proxy.bytes_per_s = 4e6
    arguments: dict[str, Any] = {"latest_only": latest_only, "credit_bytes": 200_000}
    with (
        Following(proxy.address, **arguments) as subscription,
        Following(f"tcp://127.0.0.1:{server.server_port}") as near,
    ):
        for _ in range(100):
            total = publish(server, 4, 50_000)
            near.reach(server.epoch, total)
        subscription.reach(server.epoch, total)
        assert subscription.account.adds_up(server.epoch, total)
        assert subscription.account.epochs[server.epoch].received > 5
        assert subscription.lost == subscription.account.lost > 0
        assert near.lost == 0


# ---- away, and back


@pytest.mark.parametrize("history", [64 << 20, 20_000])
def test_a_network_that_goes_away_and_returns(
    server: ServerLHC, proxy: Proxy, history: int
) -> None:
    server.declare_stream("s", history_bytes=history)
    with Following(proxy.address) as subscription:
        total = publish(server, 100)
        subscription.reach(server.epoch, total)
        proxy.go_away()
        publish(server, 3000)
        wait_until(lambda: subscribers(server) == 0, "the server has forgotten it")
        proxy.come_back()
        subscription.reach(server.epoch, 3100)
        assert subscription.account.adds_up(server.epoch, 3100)
        assert (subscription.lost == 0) == (history > 1 << 20)
        publish(server, 1)
        subscription.reach(server.epoch, 3101)
        assert subscribers(server) == 1


def test_a_network_that_stands_still_for_a_while(server: ServerLHC, proxy: Proxy) -> None:
    """Shorter than the time-outs: the same subscription goes on."""
    with Following(proxy.address) as subscription:
        total = publish(server, 10)
        subscription.reach(server.epoch, total)
        proxy.freeze()
        total = publish(server, 1000)
        time.sleep(1.0)  # the subscription asks meanwhile, several times
        proxy.thaw()
        subscription.reach(server.epoch, total)
        assert subscription.account.adds_up(server.epoch, total)
        assert subscription.lost == 0
        assert proxy.accepted == 1
        (seen,) = server.stats().subscribers
        assert seen.first == 1


def test_a_network_that_stands_still_until_both_ends_have_noticed(
    make_server: Callable[..., ServerLHC], proxy: Proxy
) -> None:
    """No byte says so: they must notice by themselves."""
    server = make_server(kind=limited(subscriber_silence_ms=500))
    server.declare_stream("s")
    proxy.lead_to(server.server_port)

    def is_forgotten() -> bool:
        publish(server, 1)  # until it has used up its credit
        return subscribers(server) == 0

    with Following(proxy.address) as subscription:
        total = publish(server, 10)
        for _ in range(2):
            subscription.reach(server.epoch, total)
            wait_until(functools.partial(quiet, server, total), "its last credit has come")
            proxy.freeze()
            wait_until(is_forgotten, "the server has forgotten it")
            time.sleep(0.5)  # the subscription connects anew, and asks, in vain
            proxy.thaw()
            total = publish(server, 50)
        subscription.reach(server.epoch, total)
        assert subscription.account.adds_up(server.epoch, total)
        assert subscription.lost == 0
    wait_until(lambda: subscribers(server) == 0, "it has left")


def test_a_way_that_leads_to_another_server(
    make_server: Callable[..., ServerLHC], server: ServerLHC, proxy: Proxy
) -> None:
    """It has published less, more, or nothing yet; and it may not know the stream at once."""
    with Following(proxy.address) as subscription:
        total = publish(server, 500)
        subscription.reach(server.epoch, total)
        lives = [(server.epoch, total)]
        for count in (10, 1000, 0):
            other = make_server()
            proxy.lead_to(other.server_port)
            proxy.cut()
            time.sleep(0.5)  # "no such stream"
            if count:
                other.declare_stream("s")
                publish(other, count)
            else:
                other.declare_stream("s", history_count=5)
                publish(other, 300)
                proxy.cut()
                count = 300
            subscription.reach(other.epoch, count)
            count = publish(other, 1)
            subscription.reach(other.epoch, count)
            lives.append((other.epoch, count))
        for epoch, last in lives:
            assert subscription.account.adds_up(epoch, last)
        assert list(subscription.account.epochs) == [epoch for epoch, _ in lives]


@pytest.mark.timeout(within(60))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_networks_do(server: ServerLHC, seed: int) -> None:
    """Faults in any order under a stream that goes on; one subscription near, one a display."""
    chance = random.Random(seed)
    server.declare_stream("s", history_bytes=chance.choice((30_000, 1 << 20, 64 << 20)))
    done = threading.Event()

    def produce() -> None:
        while not done.wait(0.005):
            publish(server, 10, 100)

    producer = threading.Thread(target=produce)
    with Proxy(server.server_port) as proxy:
        near = Following(f"tcp://127.0.0.1:{server.server_port}")
        subscriptions = [near, Following(proxy.address), Following(proxy.address, latest_only=True)]
        producer.start()
        try:
            for _ in range(8):
                proxy.delay_s = chance.choice((0.0, 0.0, 0.005))
                proxy.bytes_per_s = chance.choice((None, None, 200_000.0))
                fault = chance.choice((proxy.cut, proxy.go_away, proxy.freeze))
                fault()
                time.sleep(chance.uniform(0, 0.6))
                proxy.come_back()
                proxy.thaw()
                time.sleep(chance.uniform(0, 0.6))
            proxy.delay_s, proxy.bytes_per_s = 0.0, None
            done.set()
            producer.join()
            total = publish(server, 1)
            for subscription in subscriptions:
                subscription.reach(server.epoch, total)
                assert subscription.account.adds_up(server.epoch, total)
                assert subscription.lost == subscription.account.lost
            assert near.lost == 0 or near.account.epochs[server.epoch].received > 0
        finally:
            done.set()
            producer.join()
            for subscription in subscriptions:
                subscription.close()
