"""Another site: a leaf node with a mirror; and a cluster of three."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import nats
import numpy as np
import pytest
from relay.conftest import MakeBroker, MakeRelay
from support import ports
from support.machine import WINDOWS, within
from support.nats import Broker, needs_nats
from support.nats_store import ledger_of, stored_ids, totals
from support.peers import PATIENCE_S, address_of
from support.updates import adds_up, publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.errors import RequestTimeout
from laplace_server.relay import NatsDevice, follow

pytestmark = needs_nats

STREAM = "lhc+lab+camera+s"


def port() -> str:
    return ports.own_address().rpartition(":")[2]


async def mirror(url: str, domain: str, name: str) -> None:
    """As docs/relay.md has it."""
    config = {
        "name": name,
        "storage": "file",
        "mirror": {"name": name, "external": {"api": f"$JS.{domain}.API"}},
    }
    await ask(url, f"STREAM.CREATE.{name}", config)


async def ask(url: str, api: str, payload: Any = None) -> Any:
    client = await nats.connect(url)
    try:
        body = b"" if payload is None else json.dumps(payload).encode()
        answer = json.loads((await client.request(f"$JS.API.{api}", body, timeout=5)).data)
        assert "error" not in answer, answer
        return answer
    finally:
        await client.close()


def last_seq(broker: Broker) -> int:
    return int(asyncio.run(ask(broker.url, f"STREAM.INFO.{STREAM}"))["state"]["last_seq"])


def test_another_site_has_the_same(
    server: ServerLHC, make_broker: MakeBroker, make_relay: MakeRelay
) -> None:
    leaf_port = port()
    hub = make_broker(
        "hub", jetstream={"domain": "hub"}, leafnodes={"listen": f"127.0.0.1:{leaf_port}"}
    )
    leaf = make_broker(
        "leaf",
        jetstream={"domain": "leaf"},
        leafnodes={"remotes": [{"url": f"nats://127.0.0.1:{leaf_port}"}], "reconnect": 1},
    )
    publish(server, 1, 100)
    relay = make_relay(hub.url, [(address_of(server), "s")])
    wait_until(lambda: relay.stats().sources[0].updates == 100, "all is stored", within(10))
    for name in (STREAM, "lhc+lab+camera+@device"):
        asyncio.run(mirror(leaf.url, "hub", name))
    with follow(leaf.url, "camera", "s", start="oldest") as updates:
        found = [updates.next(PATIENCE_S) for _ in range(100)]
        for turn in range(2):
            leaf.kill()
            publish(server, 101 + 100 * turn, 200 + 100 * turn)
            leaf.start()
        found += [updates.next(PATIENCE_S) for _ in range(200)]
        assert adds_up(found, 1, 300)
        assert updates.lost == 0
    wait_until(lambda: last_seq(leaf) == last_seq(hub), "the mirror has all", within(10))
    device = NatsDevice(leaf.url, "camera")
    wait_until(lambda: "epoch" in device.info(), "the mirror has the notes", within(10))
    info = device.info()
    assert (info["epoch"], info["streams"]) == (server.epoch, {"s": {}})
    ids = stored_ids(leaf.url, "camera", "s")
    assert ids == stored_ids(hub.url, "camera", "s")
    assert totals(ledger_of(ids)) == (300, 0)


def test_a_domain_is_read_through_a_leaf(
    server: ServerLHC, make_broker: MakeBroker, make_relay: MakeRelay
) -> None:
    """A program at a leaf relays to the hub's, and follows out of it."""
    leaf_port = port()
    make_broker("hub", jetstream={"domain": "hub"}, leafnodes={"listen": f"127.0.0.1:{leaf_port}"})
    leaf = make_broker(
        "leaf",
        jetstream={"domain": "leaf"},
        leafnodes={"remotes": [{"url": f"nats://127.0.0.1:{leaf_port}"}], "reconnect": 1},
    )
    publish(server, 1, 100)
    relay = make_relay(leaf.url, [(address_of(server), "s")], domain="hub")
    wait_until(lambda: relay.stats().sources[0].updates == 100, "all is stored", within(10))
    with follow(leaf.url, "camera", "s", start="oldest", domain="hub") as updates:
        assert adds_up([updates.next(PATIENCE_S) for _ in range(100)], 1, 100)
        publish(server, 101, 200)
        assert adds_up([updates.next(PATIENCE_S) for _ in range(100)], 101, 200)
    assert NatsDevice(leaf.url, "camera", domain="hub").info()["epoch"] == server.epoch
    with pytest.raises(RequestTimeout, match="nobody answers for JetStream's domain 'hbu'"):
        NatsDevice(leaf.url, "camera", domain="hbu").info()
    assert NatsDevice(leaf.url, "camera").info() == {"name": "camera", "streams": {}}


def _is_whole(url: str) -> bool:
    try:
        info = asyncio.run(ask(url.split(",")[0], f"STREAM.INFO.{STREAM}"))
    except (AssertionError, OSError, nats.errors.Error):  # it has just begun
        return False
    replicas = info["cluster"].get("replicas", [])
    return len(replicas) == 2 and all(
        each["current"] and not each.get("offline") for each in replicas
    )


def make_cluster(make_broker: MakeBroker) -> list[Broker]:
    routes = [port() for _ in range(3)]
    return [
        make_broker(
            f"n{n}",
            cluster={
                "name": "facility",
                "listen": f"127.0.0.1:{own}",
                "routes": [f"nats://127.0.0.1:{each}" for each in routes],
            },
        )
        for n, own in enumerate(routes)
    ]


@pytest.mark.slow  # elections take seconds each
def test_a_cluster_of_which_one_is_killed(
    server: ServerLHC, make_broker: MakeBroker, make_relay: MakeRelay
) -> None:
    brokers = make_cluster(make_broker)
    url = ",".join(broker.url for broker in brokers)
    publish(server, 1, 100)
    relay = make_relay(url, [(address_of(server), "s")], replicas=3)
    wait_until(lambda: relay.stats().sources[0].updates == 100, "all is stored", within(20))
    for turn, broker in enumerate(brokers):
        broker.kill()
        publish(server, 101 + 100 * turn, 200 + 100 * turn)
        wait_until(
            lambda turn=turn: relay.stats().sources[0].last == 200 + 100 * turn,  # type: ignore[misc]
            "all is stored",
            within(20),
        )
        broker.start()
        # Two must not be away at once.
        wait_until(lambda: _is_whole(url), "all have all", within(20))
    with follow(url, "camera", "s", start="oldest") as updates:
        assert adds_up([updates.next(PATIENCE_S) for _ in range(400)], 1, 400)
    assert totals(ledger_of(stored_ids(brokers[0].url, "camera", "s"))) == (400, 0)


@pytest.mark.slow
def test_rivals_at_a_cluster(
    server: ServerLHC,
    make_broker: MakeBroker,
    make_relay: MakeRelay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What one has sent too late is refused, and not found wrong when all have it."""
    monkeypatch.setattr("laplace_server.relay.source_relay._STAND_BY_S", 0.05)
    brokers = make_cluster(make_broker)
    url = ",".join(broker.url for broker in brokers)
    relays = [make_relay(url, [(address_of(server), "s")], replicas=3) for _ in range(2)]

    def last() -> int:
        return max(relay.stats().sources[0].last for relay in relays)

    image = np.zeros(10_000, np.uint8)
    for n in range(1, 1001):
        server.publish("s", {"n": n, "image": image})  # each in a message of its own
        if n % 100 == 0:
            wait_until(lambda n=n: last() == n, "all is stored", within(20))  # type: ignore[misc]
    assert totals(ledger_of(stored_ids(url.split(",")[0], "camera", "s"))) == (1000, 0)
    assert not [broker.folder.name for broker in brokers if "critical" in broker.log()]


@pytest.mark.slow
@pytest.mark.skipif(WINDOWS, reason="no process can be made to stand still there")
def test_a_cluster_of_which_two_stand_still(
    server: ServerLHC,
    make_broker: MakeBroker,
    make_relay: MakeRelay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is sent again meanwhile is refused: both are in the leader's hands when all go on."""
    for module in ("publisher", "connection"):
        monkeypatch.setattr(f"laplace_server.relay.{module}.ANSWER_S", 1.5)
    brokers = make_cluster(make_broker)
    url = ",".join(broker.url for broker in brokers)
    publish(server, 1, 100)
    relay = make_relay(url, [(address_of(server), "s")], replicas=3)
    wait_until(lambda: relay.stats().sources[0].last == 100, "all is stored", within(20))
    info = asyncio.run(ask(brokers[0].url, f"STREAM.INFO.{STREAM}"))
    followers = [each for each in brokers if each.folder.name != info["cluster"]["leader"]]
    for broker in followers:
        broker.freeze(True)
    try:
        image = np.zeros(10_000, np.uint8)
        for n in range(101, 201):
            server.publish("s", {"n": n, "image": image})
        before = relay.stats().sources[0].messages
        wait_until(lambda: relay.stats().sources[0].trouble is not None, "it fails", within(20))
        time.sleep(3)  # in which it is sent again
        assert relay.stats().sources[0].messages == before
    finally:
        for broker in followers:
            broker.freeze(False)
    wait_until(lambda: relay.stats().sources[0].last == 200, "all is stored", within(20))
    assert totals(ledger_of(stored_ids(brokers[0].url, "camera", "s"))) == (200, 0)
    assert not [broker.folder.name for broker in brokers if "critical" in broker.log()]
