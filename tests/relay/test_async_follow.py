"""A subscription of asyncio that comes out of NATS."""

from __future__ import annotations

import asyncio

import pytest
from relay.conftest import MakeBroker, MakeRelay
from support.event_loop import run
from support.machine import within
from support.nats import Broker, needs_nats
from support.peers import PATIENCE_S, address_of
from support.updates import adds_up, publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.errors import ClientClosed, RemoteError, RequestTimeout
from laplace_server.relay import NatsRelay, async_follow
from laplace_server.stream import Update

pytestmark = [needs_nats, pytest.mark.usefixtures("each_loop")]


@pytest.fixture
def relay(server: ServerLHC, broker: Broker, make_relay: MakeRelay) -> NatsRelay:
    publish(server, 1, 300)
    relay = make_relay(broker.url, [(address_of(server), "s")])
    wait_until(lambda: relay.stats().sources[0].updates == 300, "all is stored", within(10))
    return relay


def test_all_that_there_is_and_comes(server: ServerLHC, broker: Broker, relay: NatsRelay) -> None:
    async def scene() -> list[Update]:
        found: list[Update] = []
        async with async_follow(broker.url, "camera", "s", start="oldest") as updates:
            while len(found) < 300:
                found += await updates.take(PATIENCE_S)
            publish(server, 301, 310)
            async for update in updates:
                found.append(update)
                if len(found) == 310:
                    break
            assert (updates.lost, updates.trouble) == (0, None)
        return found

    assert adds_up(run(scene()), 1, 310)


def test_a_broker_that_is_killed(server: ServerLHC, broker: Broker, relay: NatsRelay) -> None:
    async def scene() -> list[Update]:
        async with async_follow(broker.url, "camera", "s", start="oldest") as updates:
            found = [await updates.next(PATIENCE_S)]
            broker.kill()
            publish(server, 301, 310)
            broker.start()
            while len(found) < 310:
                found += await updates.take(PATIENCE_S)
        return found

    assert adds_up(run(scene()), 1, 310)


def test_many_in_one_loop(broker: Broker, relay: NatsRelay) -> None:
    async def read() -> int:
        async with async_follow(broker.url, "camera", "s", start=201) as updates:
            found: list[Update] = []
            while len(found) < 100:
                found += await updates.take(PATIENCE_S)
        assert adds_up(found, 201, 300)
        return len(found)

    async def scene() -> list[int]:
        return await asyncio.gather(*(read() for _ in range(10)))

    assert run(scene()) == [100] * 10


def test_it_is_closed_while_a_task_waits(broker: Broker, relay: NatsRelay) -> None:
    async def scene() -> None:
        updates = await async_follow(broker.url, "camera", "s")
        waiting = asyncio.ensure_future(updates.next())
        await asyncio.sleep(0)
        await updates.close()
        with pytest.raises(ClientClosed):
            await waiting

    run(scene())


def test_what_is_refused(broker: Broker, relay: NatsRelay, make_broker: MakeBroker) -> None:
    absent = make_broker("n2", start=False)

    async def scene() -> None:
        with pytest.raises(RemoteError, match="beyond what was relayed"):
            await async_follow(broker.url, "camera", "s", start=500)
        with pytest.raises(RequestTimeout, match="no connection to NATS"):
            await async_follow(absent.url, "camera", "s", timeout_s=within(1))

    run(scene())
