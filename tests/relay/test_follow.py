"""A subscription that comes out of NATS is one like any other."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import nats
import numpy as np
import pytest
from relay.conftest import MakeBroker, MakeRelay
from support.isolated import run_script
from support.machine import within
from support.nats import Broker, needs_nats
from support.nats_store import stored_ids
from support.peers import PATIENCE_S, address_of
from support.serving import MakeServer
from support.updates import adds_up, publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.errors import ClientClosed, RemoteError, RequestTimeout
from laplace_server.relay import NatsRelay, follow
from laplace_server.stream import Subscription, Update

pytestmark = needs_nats


def taken(subscription: Subscription, count: int) -> list[Update]:
    found: list[Update] = []
    while len(found) < count:
        found.extend(subscription.take(PATIENCE_S))
    return found


@pytest.fixture
def relay(server: ServerLHC, broker: Broker, make_relay: MakeRelay) -> NatsRelay:
    publish(server, 1, 300)
    relay = make_relay(broker.url, [(address_of(server), "s")])
    wait_until(lambda: relay.stats().sources[0].updates == 300, "all is stored", within(10))
    return relay


@pytest.fixture
def lives(
    make_server: MakeServer, broker: Broker, make_relay: MakeRelay
) -> list[tuple[int, int, int]]:
    """Of three lives of a server: epoch, first and last. Of the second, 21 to 30 are lost."""
    found: list[tuple[int, int, int]] = []
    address: dict[str, str] = {}
    for count in (100, 30, 200):
        server = make_server(name="camera", **address)
        address = {"address": address_of(server)}
        if count == 30:
            server.declare_stream("s", history_count=10)
            publish(server, 1, 10)
            _relay_all(make_relay, broker, server, 10)
            publish(server, 11, 30)
        else:
            publish(server, 1, count)
        _relay_all(make_relay, broker, server, count, to_its_end=True)
        found.append((server.epoch, 1, count))
    return found


def _relay_all(
    make_relay: MakeRelay, broker: Broker, server: ServerLHC, last: int, to_its_end: bool = False
) -> None:
    relay = make_relay(broker.url, [(address_of(server), "s")])
    wait_until(lambda: relay.stats().sources[0].last == last, "all is stored", within(10))
    if to_its_end:
        server.stop()
        wait_until(
            lambda: stored_ids(broker.url, "camera", "s")[-1].is_over,
            "the end is stored",
            within(10),
        )
    relay.stop()


# ---- where it begins


def test_the_oldest_and_all_that_follow(
    server: ServerLHC, broker: Broker, relay: NatsRelay
) -> None:
    with follow(broker.url, "camera", "s", start="oldest") as updates:
        found = taken(updates, 300)
        publish(server, 301, 310)
        found += taken(updates, 10)
        assert adds_up(found, 1, 310)
        assert [each.data["n"] for each in found] == list(range(1, 311))
        assert {each.epoch for each in found} == {server.epoch} == {updates.epoch}
        assert (updates.lost, updates.lag, updates.trouble, updates.stream) == (0, 0, None, "s")
        assert "lhc.lab.camera.s" in repr(updates)


def test_the_latest(server: ServerLHC, broker: Broker, relay: NatsRelay) -> None:
    with follow(broker.url, "camera", "s") as updates:
        with pytest.raises(TimeoutError):
            updates.next(0.1)
        publish(server, 301, 301)
        assert updates.next(PATIENCE_S).seq == 301


def test_the_newest(server: ServerLHC, broker: Broker, relay: NatsRelay) -> None:
    with follow(broker.url, "camera", "s", start="newest") as updates:
        assert updates.next(PATIENCE_S)[:1] == (300,)
        publish(server, 301, 301)
        assert updates.next(PATIENCE_S)[:1] == (301,)


@pytest.mark.parametrize("number", [1, 2, 63, 64, 65, 150, 299, 300])
def test_a_number(broker: Broker, relay: NatsRelay, number: int) -> None:
    with follow(broker.url, "camera", "s", start=number) as updates:
        assert adds_up(taken(updates, 301 - number), number, 300)


def test_a_number_beyond_what_is_there(server: ServerLHC, broker: Broker, relay: NatsRelay) -> None:
    with follow(broker.url, "camera", "s", start=301) as updates:
        publish(server, 301, 301)
        assert updates.next(PATIENCE_S).seq == 301
    with pytest.raises(RemoteError, match="the last update there is number 301 of epoch"):
        follow(broker.url, "camera", "s", start=303)


def test_all_lives_of_a_server(broker: Broker, lives: list[tuple[int, int, int]]) -> None:
    with follow(broker.url, "camera", "s", start="oldest") as updates:
        found = taken(updates, 320)
        wait_until(lambda: _reads_nothing(updates) and updates.server_ended, "the end is told")
        assert updates.lost == 10
        assert [(each.epoch, each.first, each.last) for each in updates.ended] == lives
        assert [(each.received, each.lost) for each in updates.ended] == [
            (100, 0),
            (20, 10),
            (200, 0),
        ]
    second = [each for each in found if each.epoch == lives[1][0]]
    assert adds_up(second, 1, 30)


def _reads_nothing(subscription: Subscription) -> bool:
    with pytest.raises(TimeoutError):
        subscription.next(0.01)
    return True


def test_going_on_in_any_life(broker: Broker, lives: list[tuple[int, int, int]]) -> None:
    with follow(broker.url, "camera", "s", start="oldest") as updates:
        every = [(each.epoch, each.seq) for each in taken(updates, 320)]
    for epoch, _, _ in lives:
        for number in (1, 2, 10, 19, 20, 25, 29, 30):
            # What is behind a position is what comes, also where the next ones are lost.
            behind = [
                n for n, each in enumerate(every) if each[0] == epoch and each[1] > number
            ] or [n for n, each in enumerate(every) if each[0] == epoch]
            first = behind[0] if every[behind[0]][1] > number else behind[-1] + 1
            with follow(broker.url, "camera", "s", start=(epoch, number)) as updates:
                found = [(each.epoch, each.seq) for each in taken(updates, len(every) - first)]
            assert found == every[first:]


def test_a_life_that_is_not_there(broker: Broker, relay: NatsRelay) -> None:
    with follow(broker.url, "camera", "s", start=(12345, 7)) as updates:
        assert adds_up(taken(updates, 300), 1, 300)
        assert [(each.epoch, each.complete) for each in updates.ended] == [(12345, False)]


def test_what_jetstream_does_not_keep_is_lost(
    server: ServerLHC, make_broker: MakeBroker, make_relay: MakeRelay
) -> None:
    broker = make_broker(max_payload=1 << 17)
    relay = make_relay(broker.url, [(address_of(server), "s")], max_bytes=200_000)
    for n in range(1, 501):
        server.publish("s", {"n": n, "pad": "x" * 1000})
    wait_until(lambda: relay.stats().sources[0].updates == 500, "all is stored", within(10))
    with follow(broker.url, "camera", "s", start="oldest") as updates:
        first = updates.next(PATIENCE_S)
        assert first.lost_before == 0
        assert 300 < first.seq < 500
    with follow(broker.url, "camera", "s", start=(server.epoch, 100)) as updates:
        update = updates.next(PATIENCE_S)
        assert (update.seq, update.lost_before) == (first.seq, first.seq - 101)


# ---- what may be missing


def test_whoever_follows_may_be_there_first(
    server: ServerLHC, make_broker: MakeBroker, make_relay: MakeRelay
) -> None:
    broker = make_broker(start=False)
    with pytest.raises(RequestTimeout, match="no connection to NATS"):
        follow(broker.url, "camera", "s", timeout_s=0.3)
    with follow(broker.url, "camera", "s") as updates:
        assert "no connection to NATS" in (updates.trouble or "")
        broker.start()
        wait_until(
            lambda: _reads_nothing(updates) and "NATS has no stream" in (updates.trouble or ""),
            "it is told that there is no stream",
            within(10),
        )
        publish(server, 1, 3)
        make_relay(broker.url, [(address_of(server), "s")])
        assert adds_up(taken(updates, 3), 1, 3)


def test_a_broker_that_is_killed(server: ServerLHC, broker: Broker, relay: NatsRelay) -> None:
    found: list[Update] = []
    with follow(broker.url, "camera", "s", start="oldest") as updates:
        for turn in range(4):
            found.append(updates.next(PATIENCE_S))
            broker.kill()
            publish(server, 301 + 10 * turn, 310 + 10 * turn)
            broker.start()
        found += taken(updates, 340 - len(found))
        assert adds_up(found, 1, 340)
        assert updates.lost == 0


def test_a_broker_that_is_killed_behind_an_end(
    make_server: MakeServer, broker: Broker, make_relay: MakeRelay
) -> None:
    server = make_server(name="camera")
    publish(server, 1, 5)
    make_relay(broker.url, [(address_of(server), "s")])
    with follow(broker.url, "camera", "s", start="oldest") as updates:
        assert adds_up(taken(updates, 5), 1, 5)
        server.stop()
        wait_until(lambda: _reads_nothing(updates) and updates.server_ended, "the end is told")
        broker.kill()
        broker.start()
        again = make_server(name="camera", address=address_of(server))
        publish(again, 1, 7)
        found = taken(updates, 7)
        assert adds_up(found, 1, 7)
        assert {each.epoch for each in found} == {again.epoch}
        assert [(each.epoch, each.complete) for each in updates.ended] == [(server.epoch, True)]


def test_a_position_beyond_a_life_that_is_over(
    broker: Broker, lives: list[tuple[int, int, int]]
) -> None:
    """As of who was told more by the server than the relay."""
    with follow(broker.url, "camera", "s", start=(lives[0][0], 500)) as updates:
        assert updates.next(PATIENCE_S).following == (lives[1][0], 1)


def test_a_slow_reader_holds_little(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay
) -> None:
    server.declare_stream("s", history_bytes=128 << 20)
    image = np.zeros(1_000_000, np.uint8)
    for n in range(1, 101):
        server.publish("s", {"n": n, "image": image})
    relay = make_relay(broker.url, [(address_of(server), "s")])
    wait_until(lambda: relay.stats().sources[0].updates == 100, "all is stored", within(20))
    with follow(broker.url, "camera", "s", start="oldest", credit_bytes=3_000_000) as updates:
        assert updates.next(PATIENCE_S).seq == 1
        time.sleep(0.3)  # in which it might take more
        assert sum(len(message[1][2]) for message in updates._protocol.incoming) <= 4_000_000
        assert [each.seq for each in taken(updates, 99)] == list(range(2, 101))


@pytest.mark.parametrize("latest_only", [False, True])
def test_a_reader_that_pauses_for_long(
    server: ServerLHC,
    broker: Broker,
    make_relay: MakeRelay,
    latest_only: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """JetStream forgets its consumer meanwhile."""
    monkeypatch.setattr("laplace_server.relay.engine_consumer._FORGOTTEN_S", 0.2)
    server.declare_stream("s", history_bytes=128 << 20)
    for n in range(1, 101):
        server.publish("s", {"n": n, "image": np.zeros(200_000, np.uint8)})
    relay = make_relay(broker.url, [(address_of(server), "s")])
    wait_until(lambda: relay.stats().sources[0].updates == 100, "all is stored", within(20))
    with follow(
        broker.url, "camera", "s", start="oldest", credit_bytes=300_000, latest_only=latest_only
    ) as updates:
        found = [updates.next(PATIENCE_S)]
        wait_until(lambda: _consumers(broker) == 0, "it is forgotten", within(10))
        server.publish("s", {"n": 101})
        while found[-1].seq < 101:
            found.append(updates.next(PATIENCE_S))
        assert adds_up(found, 1, 101)
        assert latest_only or updates.lost == 0


def _consumers(broker: Broker) -> int:
    async def ask() -> int:
        client = await nats.connect(broker.url)
        try:
            info = await client.jetstream().stream_info("lhc+lab+camera+s")
            return info.state.consumer_count
        finally:
            await client.close()

    return asyncio.run(ask())


def test_readers_do_not_disturb_each_other(
    server: ServerLHC, broker: Broker, relay: NatsRelay
) -> None:
    def read(found: list[int]) -> None:
        with follow(broker.url, "camera", "s", start="oldest") as updates:
            found.extend(each.seq for each in taken(updates, 300))

    results: list[list[int]] = [[] for _ in range(8)]
    threads = [threading.Thread(target=read, args=(found,)) for found in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [list(range(1, 301))] * 8


# ---- its end, and its arguments


def test_it_is_closed_from_another_thread(broker: Broker, relay: NatsRelay) -> None:
    with follow(broker.url, "camera", "s") as updates:
        closing = threading.Timer(0.1, updates.close)
        closing.start()
        with pytest.raises(ClientClosed):
            updates.next(PATIENCE_S)
        closing.join()
        assert list(updates) == []


def test_one_that_is_closed_at_once_leaves_nothing_behind() -> None:
    for _ in range(50):
        with pytest.raises(RequestTimeout):
            follow("nats://127.0.0.1:9", "camera", "s", timeout_s=1e-6)


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"nats_url": "http://h"}, ValueError, "must be nats://HOST:PORT"),
        ({"device": ""}, ValueError, "'device' must not be empty"),
        ({"start": "now"}, ValueError, "'start' must be"),
        ({"credit_bytes": 0}, ValueError, "credit_bytes"),
        ({"timeout_s": -1}, ValueError, "time"),
        ({"name": ""}, ValueError, "'name' must not be empty"),
    ],
)
def test_wrong_arguments(changed: dict[str, Any], error: type[Exception], match: str) -> None:
    arguments: dict[str, Any] = {"nats_url": "nats://h:1", "device": "camera", "stream": "s"}
    with pytest.raises(error, match=match):
        follow(**{**arguments, **changed})


def test_importing_it_loads_no_server(tmp_path: Path) -> None:
    script = """
        import sys
        import laplace_server.relay
        print("laplace_server.server_lhc" in sys.modules, "numpy" in sys.modules)
    """
    assert run_script(script) == "False False\n"
