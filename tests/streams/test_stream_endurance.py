"""Servers and subscriptions that are killed, restarted and frozen; everything at once."""

from __future__ import annotations

import functools
import json
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.isolated import Child
from support.machine import WINDOWS, descriptors, memory, native_threads, resident, within
from support.peers import PATIENCE_S, address_of
from support.proxy import Proxy
from support.serving import limited
from support.standstill import go_on, stand_still
from support.stream_accounts import IMPATIENT, Following, set_constants
from support.stream_peers import MOST, WirePeer
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC

SECONDS = float(os.environ.get("LAPLACE_SOAK_S", "20"))

needs_stopping = pytest.mark.skipif(WINDOWS, reason="processes cannot be frozen there")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    import laplace_server.stream  # noqa: F401

    set_constants(IMPATIENT, monkeypatch)


# ---- servers that end

SERVER = """
import itertools, sys, time
from laplace_server import ServerLHC
port, size, count = sys.argv[1:]
deadline = time.monotonic() + 20
while True:
    try:
        server = ServerLHC("device", f"tcp://127.0.0.1:{port}", 1, "MOTOR")
        break
    except Exception:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.01)
server.declare_stream("s", history_bytes=int(size), history_count=int(count) or None)
n = 0
for line in itertools.chain(["start 0"], sys.stdin):
    what, number = line.split()
    for _ in range(int(number)):
        n += 1
        assert server.publish("s", {"n": n}) == n
    if what == "start":
        server.start()
    if what == "stop":
        server.stop()
    print(server.epoch, n, server.server_port, flush=True)
"""


class Life:
    """A server in a process of its own."""

    def __init__(
        self, make_child: Callable[..., Child], port: int | str, size: int, count: int = 0
    ) -> None:
        self._child = make_child(SERVER, str(port), str(size), str(count))
        self._hear()

    def _hear(self) -> None:
        self.epoch, self.last, self.port = map(int, self._child.hear().split())

    def publish(self, count: int) -> None:
        self._child.tell(f"publish {count}")
        self._hear()

    def stop(self) -> None:
        self._child.tell("stop 0")
        self._hear()

    def begin_publishing(self, count: int) -> None:
        """Do not wait until it is done."""
        self._child.tell(f"publish {count}")

    def kill(self) -> None:
        self._child.process.kill()
        self._child.process.wait(PATIENCE_S)


def test_servers_that_are_killed_and_stopped(make_child: Callable[..., Child]) -> None:
    """Four subscriptions live through six lives of a server, each with its own history."""
    life = Life(make_child, "*", 64 << 20)
    address = f"tcp://127.0.0.1:{life.port}"
    subscriptions = [
        Following(address),
        Following(address, credit_bytes=300),
        Following(address, latest_only=True),
        Following(address, start="latest", credit_bytes=5000),
    ]
    published = {}
    try:
        for size, count, end in [
            (64 << 20, 0, Life.kill),
            (3_000, 0, Life.stop),
            (64 << 20, 5, Life.kill),
            (0, 0, Life.stop),
            (64 << 20, 0, Life.kill),
        ]:
            life.publish(500)
            for subscription in subscriptions:
                subscription.reach(life.epoch, life.last)
            # The end comes in the middle of this, for those who are not quick.
            life.publish(2000)
            published[life.epoch] = life.last
            end(life)
            life.kill()
            life = Life(make_child, life.port, size, count)
        life.publish(500)
        published[life.epoch] = life.last
        for subscription in subscriptions:
            subscription.reach(life.epoch, life.last)
            assert subscription.account.adds_up(life.epoch, life.last)
            subscription.agrees(published)
            assert len(subscription.account.epochs) == 6
    finally:
        for subscription in subscriptions:
            subscription.close()


def has_come(subscription: Following, epoch: int) -> bool:
    return subscription.last[0] == epoch


def test_a_server_killed_while_it_publishes(make_child: Callable[..., Child]) -> None:
    """Nobody knows how far it came; what it announced is accounted for."""
    life = Life(make_child, "*", 100_000)
    with Following(f"tcp://127.0.0.1:{life.port}") as subscription:
        published = {}
        for _ in range(3):
            life.begin_publishing(10_000_000)
            wait_until(functools.partial(has_come, subscription, life.epoch), "it runs")
            life.kill()
            published[life.epoch] = 10_000_000
            life = Life(make_child, life.port, 100_000)
            life.publish(1)
            subscription.reach(life.epoch, 1)
        published[life.epoch] = 1
        subscription.agrees(published)
        assert [each.complete for each in subscription.ended] == [False] * 3


def test_a_server_stopped_while_threads_publish(make_server: Any) -> None:
    """It ends in time; what comes after the end is numbered on, for nobody."""
    server = make_server()
    server.declare_stream("s", history_bytes=1 << 20)
    done = threading.Event()

    def publish() -> None:
        while not done.is_set():
            server.publish("s", {"pad": "p" * 1000})

    threads = [threading.Thread(target=publish) for _ in range(2)]
    peers = [WirePeer(server) for _ in range(4)]
    ends = [peer.subscribe("s", messages=16) for peer in peers]
    for thread in threads:
        thread.start()

    def read(peer: WirePeer, subscriber: Any) -> None:
        while not subscriber.ended and not done.is_set():
            peer.grant(1, subscriber.messages + 16, MOST)
            peer.read()

    readers = [threading.Thread(target=read, args=each) for each in zip(peers, ends, strict=True)]
    try:
        for reader in readers:
            reader.start()
        wait_until(lambda: all(subscriber.messages > 20 for subscriber in ends), "all follow")
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < within(2.2)
        for reader in readers:
            reader.join(PATIENCE_S)
        assert all(subscriber.ended for subscriber in ends)
        assert all(subscriber.next <= subscriber.last + 1 for subscriber in ends)
    finally:
        done.set()
        for thread in [*threads, *readers]:
            thread.join(PATIENCE_S)
        for peer in peers:
            peer.close()
    assert server.publish("s", {}) == 0
    assert max(subscriber.last for subscriber in ends) <= server._core.streams.range_of("s")[1]
    assert server.stats().subscribers == ()


def test_a_server_that_is_dropped_says_the_end() -> None:
    server = ServerLHC("dropped", "tcp://127.0.0.1:*", 1, "MOTOR")
    server.start()
    server.declare_stream("s")
    with WirePeer(server) as peer:
        subscriber = peer.subscribe("s")
        server.publish("s", {"n": 1})
        server.running.clear()
        del server
        peer.read_until(lambda: subscriber.ended, "the end")
        assert (subscriber.sent, subscriber.last) == (1, 1)


# ---- subscriptions that end, or freeze

SUBSCRIPTION = """
import json, os, sys
from laplace_server.client import ClientLHC
from support.stream_accounts import Account, set_constants
address, arguments, constants = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
import laplace_server.stream
set_constants(constants)
account = Account(first=int(sys.argv[4]))
with ClientLHC(address, timeout_s=20) as client:
    with client.subscribe("s", start="oldest", **arguments) as subscription:
        print("begun", flush=True)
        for update in subscription:
            account.take(update)
            if update.data.get("end"):
                break
        seen = account.epochs[update.epoch]
        assert subscription.lost == account.lost
        print(json.dumps([seen.received, seen.lost, update.seq]), flush=True)
"""


def start_subscriptions(
    make_child: Callable[..., Child],
    server: ServerLHC,
    count: int,
    **arguments: Any,
) -> list[Child]:
    oldest = server._core.streams.range_of("s")[0]
    given = json.dumps(arguments), json.dumps(IMPATIENT), str(oldest)
    subscriptions = [make_child(SUBSCRIPTION, address_of(server), *given) for _ in range(count)]
    for subscription in subscriptions:
        assert subscription.hear() == "begun"
    return subscriptions


def publish(server: ServerLHC, count: int = 1, **more: Any) -> int:
    number = server._core.streams.range_of("s")[1]
    for _ in range(count):
        number = server.publish("s", {"n": number + 1, **more})
    return number


@needs_stopping
def test_one_of_several_subscriptions_is_frozen(make_server: Any, make_child: Any) -> None:
    """At 5 kHz, until what it has missed is gone; nobody else loses anything."""
    kept = 10_000
    server = make_server()
    server.declare_stream("s", history_count=kept)
    frozen, *others = start_subscriptions(make_child, server, 4)
    publish(server, 1000)
    wait_until(lambda: all(s.confirmed > 900 for s in server.stats().subscribers), "all follow")
    before = resident()
    stand_still(frozen.process.pid)

    def lags() -> list[int]:
        return sorted(seen.lag for seen in server.stats().subscribers)

    while lags()[-1] < 2 * kept:
        # A busy machine makes the producer slower, not the others lose.
        if lags()[-2] < kept // 2:
            publish(server, 50, pad="p" * 100)
        time.sleep(0.01)
    assert resident() - before < memory(16)
    go_on(frozen.process.pid)
    publish(server, 50)
    last = publish(server, end=True)
    for other in others:
        assert json.loads(other.hear()) == [last, 0, last]
    received, lost, end = json.loads(frozen.hear())
    assert received + lost == end == last
    assert lost > 0
    wait_until(lambda: server.stats().subscribers == (), "all have left")


@needs_stopping
def test_a_subscription_frozen_for_long_is_forgotten_and_returns(
    make_server: Any, make_child: Any
) -> None:
    server = make_server(kind=limited(subscriber_silence_ms=500))
    server.declare_stream("s")
    (subscription,) = start_subscriptions(make_child, server, 1)
    last = publish(server, 100)
    wait_until(lambda: server.stats().subscribers[0].confirmed == last + 1, "it has all")
    stand_still(subscription.process.pid)

    def is_forgotten() -> bool:
        publish(server)  # until it has used up its credit
        return server.stats().subscribers == ()

    wait_until(is_forgotten, "it is forgotten")
    publish(server, 100)
    go_on(subscription.process.pid)
    last = publish(server, end=True)
    assert json.loads(subscription.hear()) == [last, 0, last]


@needs_stopping
def test_killed_subscriptions_are_forgotten_and_their_memory_given_back(
    make_server: Any, make_child: Any
) -> None:
    """Frozen before, so that as much as possible is on its way to them."""
    server = make_server()
    server.declare_stream("s", history_bytes=2 << 20)
    array = np.zeros(1 << 20, "u1")
    publish(server, 20, a=array)
    before = resident()
    subscriptions = start_subscriptions(make_child, server, 4, credit_bytes=1 << 30)
    for subscription in subscriptions:
        stand_still(subscription.process.pid)
    publish(server, 300, a=array)
    # The kernel's buffers aside: 16 MiB and an update for each, what they share counted once.
    assert resident() - before < memory(4 * 17 + 16)
    for subscription in subscriptions:
        subscription.process.kill()
    wait_until(lambda: server.stats().subscribers == (), "all are forgotten")
    publish(server, 3, a=array)
    wait_until(lambda: resident() - before < memory(16), "the memory is given back")


# ---- everything at once


class Soak:
    """Publishers, subscriptions of all kinds, requests and faults around one server."""

    def __init__(self, server: ServerLHC, seed: int) -> None:
        self.server = server
        self.chance = random.Random(seed)
        self.done = threading.Event()
        self.failures: list[BaseException] = []
        self.proxy = Proxy(server.server_port)
        self.lock = threading.Lock()
        self.begun = time.monotonic()

    def guard(self, work: Callable[[], None]) -> None:
        try:
            while not self.done.is_set():
                work()
        except BaseException as problem:
            self.failures.append(problem)
            self.done.set()

    def publish(self) -> None:
        self.done.wait(0.01)
        with self.lock:  # so that the data can tell its number
            publish(self.server, 50, pad="p" * 20)
            publish(self.server, 1, a=np.zeros(20_000, "u1"))
        self.server.set_data({"x": [1.0, 2.0], "a": np.zeros(100)})
        for n in range(20):
            self.server.publish("other", {"n": n, "pad": "p" * n})

    def ask(self) -> None:
        with ClientLHC(address_of(self.server), timeout_s=PATIENCE_S) as client:
            for _ in range(50):
                client.ping()
                client.get()
                client.set([1.0])
                assert "streams" in client.info()

    def come_and_go(self) -> None:
        with WirePeer(self.server) as peer:
            for number in range(5):
                peer.subscribe("other", number=number, latest_only=number == 0, messages=3)
            for number in range(5):
                peer.grant(number, 20, MOST)
                peer.read(5)
            peer.leave(3)

    def deaf(self) -> None:
        with WirePeer(self.server) as peer:
            peer.subscribe("s", messages=MOST, size=MOST, start="oldest")
            self.done.wait(0.3)

    def break_things(self) -> None:
        fault = self.chance.choice((self.proxy.cut, self.proxy.go_away, self.proxy.freeze))
        fault()
        self.done.wait(self.chance.uniform(0, 0.5))
        self.proxy.come_back()
        self.proxy.thaw()
        self.done.wait(self.chance.uniform(0.2, 1.5))

    def run(self, seconds: float) -> None:
        near = address_of(self.server)
        far = self.proxy.address
        subscriptions = [
            Following(near),
            Following(near, credit_bytes=2000),
            Following(near, latest_only=True),
            Following(far),
            Following(far, latest_only=True),
        ]
        works = [self.publish, self.ask, self.come_and_go, self.deaf, self.break_things]
        threads = [threading.Thread(target=self.guard, args=(work,)) for work in works]
        try:
            for thread in threads:
                thread.start()
            wait_until(
                lambda: self.over(seconds / 3, subscriptions), "the warm-up", seconds + PATIENCE_S
            )
            warm = self.held()
            wait_until(lambda: self.over(seconds, subscriptions), "the end", seconds + PATIENCE_S)
            self.done.set()
            for thread in threads:
                thread.join(PATIENCE_S)
            if self.failures:
                raise self.failures[0]
            last = publish(self.server)
            for subscription in subscriptions:
                subscription.reach(self.server.epoch, last)
                assert subscription.account.adds_up(self.server.epoch, last)
                assert subscription.lost == subscription.account.lost
            wait_until(lambda: len(self.server.stats().subscribers) == 5, "nobody else is left")
            wait_until(
                lambda: self.held()[0] <= warm[0] and self.held()[1] <= warm[1],
                f"threads and descriptors are as before: {warm}",
            )
            assert self.held()[2] - warm[2] < memory(24)
        finally:
            self.done.set()
            for thread in threads:
                thread.join(PATIENCE_S)
            for subscription in subscriptions:
                subscription.close()

    def over(self, seconds: float, subscriptions: list[Following]) -> bool:
        for subscription in subscriptions:
            if subscription.problem is not None:
                raise subscription.problem
        return bool(self.failures) or time.monotonic() - self.begun > seconds

    def held(self) -> tuple[int, int, int]:
        return native_threads(), descriptors(), resident()


@pytest.mark.slow
@pytest.mark.timeout(within(SECONDS + 120))
def test_everything_at_once_for_a_while(make_server: Any) -> None:
    server = make_server()
    server.declare_stream("s", history_bytes=4 << 20)
    server.declare_stream("other", history_count=10)
    server.declare_stream("data", history_bytes=1 << 20)
    soak = Soak(server, 1)
    with soak.proxy:
        soak.run(SECONDS)
