"""Streams as a relay would have written them in months: read by whoever follows."""

from __future__ import annotations

import asyncio
import struct

import nats
import pytest
from support.nats import Broker, needs_nats
from support.peers import PATIENCE_S

from laplace_server.relay import follow

pytestmark = needs_nats

MANY = 100  # more than any credit in messages
EPOCH = 7


def updates(epoch: int, number: int) -> tuple[str, bytes]:
    """A record with one update."""
    header = struct.pack("<4sBBHIIQQQQQQ", b"\0LHC", 1, 1, 0, 0, 1, epoch, number, number, 0, 0, 1)
    message = header + struct.pack("<d", 1.5) + b'[{"n":%d}]' % number
    return f"{epoch}.updates.{number}-{number}", struct.pack("<Q", len(message)) + message


def store(broker: Broker, records: list[tuple[str, bytes]]) -> None:
    async def work() -> None:
        client = await nats.connect(broker.url)
        jetstream = client.jetstream()
        await jetstream.add_stream(name="lhc+lab+camera+s", subjects=["lhc.lab.camera.s"])
        for identity, body in records:
            await jetstream.publish("lhc.lab.camera.s", body, headers={"Nats-Msg-Id": identity})
        await client.close()

    asyncio.run(work())


@pytest.mark.parametrize("latest_only", [False, True])
def test_many_gaps(broker: Broker, latest_only: bool) -> None:
    """What tells of losses takes no credit: nobody gives any for it."""
    records = []
    for n in range(1, 2 * MANY, 2):
        records += [updates(EPOCH, n), (f"{EPOCH}.gap.{n + 1}-{n + 1}", b"")]
    store(broker, [*records, updates(EPOCH, 2 * MANY + 1)])
    with follow(broker.url, "camera", "s", start="oldest", latest_only=latest_only) as subscription:
        seen = [subscription.next(PATIENCE_S)]
        while seen[-1].seq < 2 * MANY + 1:
            seen.append(subscription.next(PATIENCE_S))
        assert len(seen) + subscription.lost == 2 * MANY + 1
        assert latest_only or subscription.lost == MANY


@pytest.mark.parametrize("end", ["cut", "end"])
def test_many_lives(broker: Broker, end: str) -> None:
    records = []
    for epoch in range(1, MANY + 1):
        records += [updates(epoch, 1), (f"{epoch}.{end}.2-1", b"")]
    store(broker, [*records, updates(MANY + 1, 1)])
    with follow(broker.url, "camera", "s", start="oldest") as subscription:
        found = [subscription.next(PATIENCE_S).epoch for _ in range(MANY + 1)]
        assert found == list(range(1, MANY + 2))
        assert {each.complete for each in subscription.ended} == {end == "end"}
        assert subscription.lost == 0
