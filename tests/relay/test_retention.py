"""What has grown too old in JetStream does not come back, and readers read through."""

from __future__ import annotations

import asyncio
import json

import nats
import numpy as np
import pytest
from relay.conftest import MakeRelay
from support.machine import within
from support.nats import Broker, needs_nats
from support.nats_store import ledger_of, stored_ids, totals
from support.peers import PATIENCE_S, address_of
from support.updates import adds_up, publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.errors import RequestTimeout
from laplace_server.relay import NatsRelay, follow

pytestmark = needs_nats

NAME = "lhc+lab+camera+s"


def messages(broker: Broker) -> int:
    async def ask() -> int:
        client = await nats.connect(broker.url)
        try:
            return (await client.jetstream().stream_info(NAME)).state.messages
        finally:
            await client.close()

    return asyncio.run(ask())


def purge(broker: Broker) -> None:
    async def ask() -> None:
        client = await nats.connect(broker.url)
        await client.jetstream().purge_stream(NAME)
        await client.close()

    asyncio.run(ask())


def noted(broker: Broker) -> int:
    """Number of the last update that is noted as stored."""

    async def ask() -> int:
        client = await nats.connect(broker.url)
        try:
            subject = "lhc.lab.camera.@device.last.s"
            message = await client.jetstream().get_last_msg("lhc+lab+camera+@device", subject)
            return int(json.loads(message.data or b"")["id"].rpartition("-")[2])
        except nats.js.errors.NotFoundError:
            return 0
        finally:
            await client.close()

    return asyncio.run(ask())


def stored(relay: NatsRelay, updates: int) -> None:
    wait_until(lambda: relay.stats().sources[0].updates == updates, "all is stored", within(10))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laplace_server.relay.note_keeper._PERIOD_S", 0.05)


def test_what_is_too_old_does_not_come_back(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay
) -> None:
    publish(server, 1, 100)
    relay = make_relay(broker.url, [(address_of(server), "s")], max_age_s=0.3)
    stored(relay, 100)
    wait_until(lambda: messages(broker) == 0 and noted(broker) == 100, "all is gone", within(10))
    relay.stop()
    publish(server, 101, 120)
    relay = make_relay(broker.url, [(address_of(server), "s")], max_age_s=0.3)
    stored(relay, 20)
    assert relay.stats().sources[0].lost == 0
    wait_until(lambda: messages(broker) == 0, "all is gone", within(10))
    with pytest.raises(RequestTimeout, match=r"no update of lhc\.lab\.camera\.s: all were older"):
        follow(broker.url, "camera", "s", start="oldest", timeout_s=within(2))


@pytest.mark.parametrize("restart", [False, True])
def test_a_stream_that_was_emptied_goes_on(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay, restart: bool
) -> None:
    publish(server, 1, 100)
    relay = make_relay(broker.url, [(address_of(server), "s")])
    stored(relay, 100)
    purge(broker)
    if restart:
        broker.kill()
        broker.start()
    publish(server, 101, 150)
    stored(relay, 150)
    assert totals(ledger_of(stored_ids(broker.url, "camera", "s"))) == (50, 0)
    with follow(broker.url, "camera", "s", start="oldest") as updates:
        assert adds_up([updates.next(PATIENCE_S) for _ in range(50)], 101, 150)


def test_a_note_on_another_stream_of_that_name_does_not_count(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay
) -> None:
    """As where somebody has deleted it, and made it anew."""
    publish(server, 1, 100)
    relay = make_relay(broker.url, [(address_of(server), "s")])
    stored(relay, 100)
    wait_until(lambda: noted(broker) == 100, "it is noted", within(10))
    relay.stop()

    async def begin_anew() -> None:
        client = await nats.connect(broker.url)
        jetstream = client.jetstream()
        config = (await jetstream.stream_info(NAME)).config
        await jetstream.delete_stream(NAME)
        await jetstream.add_stream(config)
        await jetstream.publish(
            "lhc.lab.camera.s", b"", headers={"Nats-Msg-Id": f"{server.epoch}.gap.1-1"}
        )
        await jetstream.purge_stream(NAME)
        await client.close()

    asyncio.run(begin_anew())
    stored(make_relay(broker.url, [(address_of(server), "s")]), 100)


def test_many_messages_come_by_one_connection(
    server: ServerLHC,
    broker: Broker,
    make_relay: MakeRelay,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """JetStream says more than that a pull is over: "Batch Completed"."""
    caplog.set_level("INFO")
    for n in range(1, 2501):
        server.publish("s", {"n": n, "a": np.zeros(1)})  # alone in its message
    stored(make_relay(broker.url, [(address_of(server), "s")]), 2500)
    with follow(broker.url, "camera", "s", start="oldest") as updates:
        assert [updates.next(PATIENCE_S).seq for _ in range(2500)] == list(range(1, 2501))
    assert "follows on" not in caplog.text
