"""What is in JetStream, read without the relay's own reader, and whether it adds up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import nats
from nats.js.api import AckPolicy, ConsumerConfig

from laplace_server.relay.records import Kind, RecordId, read_id
from laplace_server.relay.subjects import DEFAULT_PREFIX, DEFAULT_SITE, subject_of


@dataclass
class StoredEpoch:
    """What is stored of one life of a server."""

    epoch: int
    first: int
    next: int
    updates: int = 0
    lost: int = 0
    end: Kind | None = None


def stored_ids(url: str, device: str, stream: str, site: str = DEFAULT_SITE) -> list[RecordId]:
    """The ids of all messages of a stream, in order."""
    name = subject_of(DEFAULT_PREFIX, site, device, stream).stream_name
    return [read_id(text) for text in asyncio.run(_ids(url, name))]


async def _ids(url: str, name: str) -> list[str]:
    found: list[str] = []
    client = await nats.connect(url)
    try:
        jetstream = client.jetstream()
        count = (await jetstream.stream_info(name)).state.messages
        config = ConsumerConfig(ack_policy=AckPolicy.NONE, headers_only=True)
        pull = await jetstream.pull_subscribe("", stream=name, config=config)
        while len(found) < count:
            for message in await pull.fetch(min(500, count - len(found)), timeout=10):
                assert message.headers is not None
                found.append(message.headers["Nats-Msg-Id"])
    finally:
        await client.close()
    return found


def ledger_of(ids: list[RecordId]) -> list[StoredEpoch]:
    """Add up what is stored; each number must be there once, in order."""
    epochs: list[StoredEpoch] = []
    pieces: list[RecordId] = []
    for each in ids:
        if not epochs or epochs[-1].epoch != each.epoch:
            assert each.epoch not in {epoch.epoch for epoch in epochs}, f"{each}: over before"
            begin = 1 if epochs else each.first
            epochs.append(StoredEpoch(each.epoch, begin, begin))
        epoch = epochs[-1]
        assert epoch.end is None, f"{each} behind the end"
        assert each.first == epoch.next, f"{each}, but {epoch.next} was next"
        if each.piece is not None:
            pieces = [each] if each.piece.number == 1 else [*pieces, each]
            if not each.is_complete:
                continue
            assert [p.piece and p.piece.number for p in pieces] == list(
                range(1, each.piece.pieces + 1)
            ), f"pieces of {each}: {pieces}"
            assert len({p._replace(piece=None) for p in pieces}) == 1
        count = each.last + 1 - each.first
        if each.kind is Kind.UPDATES:
            assert count > 0
            epoch.updates += count
        else:
            epoch.lost += count
        if each.is_over:
            epoch.end = each.kind
        epoch.next = each.last + 1
    return epochs


def totals(epochs: list[StoredEpoch]) -> tuple[int, int]:
    """Updates and lost ones, of all epochs."""
    return sum(each.updates for each in epochs), sum(each.lost for each in epochs)


def stream_config(url: str, name: str) -> Any:
    async def ask() -> Any:
        client = await nats.connect(url)
        try:
            return (await client.jetstream().stream_info(name)).config
        finally:
            await client.close()

    return asyncio.run(ask())
