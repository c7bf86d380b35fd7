"""Reads a stream out of JetStream and sends it to a subscription as a server would.

The subscription asks, gives credit, and asks again after a break from where it is, all as it does
with a server: so what is lost, where epochs end and where to go on is its own affair.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import NamedTuple

from laplace_server import protocol
from laplace_server.client import _frames
from laplace_server.relay.connection import connect
from laplace_server.relay.directory import what_is_missing
from laplace_server.relay.engine_consumer import EngineConsumer
from laplace_server.relay.jetstream import JetStream
from laplace_server.relay.positions import Beginning, find, newest
from laplace_server.relay.records import Assembler, Kind, Record, RecordId
from laplace_server.relay.subjects import Subject
from laplace_server.relay.way import Way
from laplace_server.relay.wire_messages import (
    Message,
    credit_of,
    last_update,
    messages_for,
    size_of,
    word,
)

_MOST_MESSAGES = 1000  # in a pull
_FAR_BYTES = 1 << 20  # then what was left behind is not read on the way to the newest


class EngineStream(NamedTuple):
    """What is read."""

    way: Way
    subject: Subject


class EngineReader:
    """For one subscription on one connection; ``run`` does it all.

    Args:
        stream: what to read.
        question: SUBSCRIBE, as a server gets it.
        younger: the subscription was there before the stream.
        deliver: told of each message, in order; b"" and the frames.
        name: what NATS shows of the connection.
    """

    def __init__(
        self,
        stream: EngineStream,
        question: bytes,
        younger: bool,
        deliver: Callable[[Message], object],
        name: str,
    ) -> None:
        self._stream = stream
        self._question = json.loads(question)
        payload = self._question["payload"]
        self._number: int = payload["subscription"]
        self._allowed: tuple[int, int] = payload["messages"], payload["bytes"]
        self._start: str | int = payload["start"]
        if younger and self._start in ("latest", "newest"):
            self._start = "oldest"
        self._newest_only = bool(payload.get("latest_only"))
        self._deliver = deliver
        self._name = name
        self._sent = (0, 0)
        self._room = asyncio.Event()
        self._assembler = Assembler()
        self._last = (0, 0)  # epoch, and number of the last update that was told
        self._newest: Record | None = None  # to be sent when there is room, unless a newer comes
        self._consumer: EngineConsumer

    def credit(self, body: bytes) -> None:
        """Take what the subscription says."""
        self._allowed = credit_of(body) or self._allowed
        self._room.set()

    async def run(self) -> None:
        """Read until it is cancelled, or refused.

        Raises:
            EngineError: it cannot go on; the text says why.
        """
        connection = await connect(self._stream.way.in_any_order(), self._name)
        try:
            jetstream = JetStream(connection, self._stream.subject)
            beginning = await self._begin(jetstream)
            if beginning is not None:
                async with EngineConsumer(jetstream, self._take, self._alive) as consumer:
                    self._consumer = consumer
                    await consumer.begin(beginning.seq)
                    while True:
                        if self._newest_only:
                            await self._pull_newest(jetstream)
                        else:
                            await consumer.pull(_MOST_MESSAGES)
        finally:
            await connection.close()

    # ---- the answer

    async def _begin(self, jetstream: JetStream) -> Beginning | None:
        """Answer the question; None: with an error."""
        epoch: int | None = self._question["payload"].get("epoch")
        name = self._stream.subject.stream
        try:
            beginning = await find(jetstream, self._start, epoch)
            problem = ""
            if beginning is None:
                problem = await what_is_missing(jetstream.connection, jetstream.subject)
        except ValueError as error:
            beginning, problem = None, f"'start' is beyond what was relayed: {error}."
        sender, target = self._stream.subject.device, self._question["from"]
        if beginning is None:
            reply = protocol.make_error(
                sender, target, cmd=protocol.CMD_SUBSCRIBE, error_msg=problem
            )
        else:
            self._last = beginning.epoch, beginning.last
            reply = protocol.make_subscribe_reply(
                sender,
                target,
                stream=name,
                epoch=beginning.epoch,
                first=beginning.next,
                last=beginning.last,
                next_number=beginning.next,
                age_s=math.inf,
            )
        self._deliver([b"", json.dumps(reply).encode()])
        return beginning

    # ---- the updates

    def _alive(self) -> None:
        self._deliver(word(_frames.ALIVE, self._number, *self._last))

    async def _take(self, identity: RecordId, body: bytes) -> None:
        record = self._assembler.put(identity, body)
        if record is None:
            return
        self._last = record.id.epoch, record.id.last
        if record.id.kind is not Kind.UPDATES:
            await self._send_newest()
            for each in messages_for(record, self._number):
                self._deliver(each)  # a word takes no credit
        elif self._newest_only:
            self._newest = record
        else:
            for each in messages_for(record, self._number):
                await self._send(each)

    async def _send(self, message: Message) -> None:
        if not self._has_room:
            with self._consumer.held_up():
                await self._wait_for_room()
        self._sent = self._sent[0] + 1, self._sent[1] + size_of(message)
        self._deliver(message)

    @property
    def _has_room(self) -> bool:
        return self._sent[0] < self._allowed[0] and self._sent[1] < self._allowed[1]

    async def _wait_for_room(self) -> None:
        while not self._has_room:
            self._room.clear()
            await self._room.wait()

    # ---- the newest alone

    async def _pull_newest(self, jetstream: JetStream) -> None:
        """Send the newest update there is, or the next, as soon as there is room for it."""
        consumer = self._consumer
        await self._wait_for_room()
        await self._pull_record()
        if consumer.pending * consumer.size > _FAR_BYTES:
            last = await jetstream.last()
            if last is not None:
                await consumer.begin((await newest(jetstream, last)).seq)
                await self._pull_record()
        elif consumer.pending:
            await consumer.pull(min(consumer.pending, _MOST_MESSAGES))
        await self._send_newest()

    async def _pull_record(self) -> None:
        """Pull a message, and all other pieces where it is one."""
        missing = 1
        while missing:
            await self._consumer.pull(missing)
            missing = self._assembler.missing

    async def _send_newest(self) -> None:
        record, self._newest = self._newest, None
        if record is not None:
            await self._send(last_update(messages_for(record, self._number)[-1]))
