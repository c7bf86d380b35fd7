"""Reads a stream out of JetStream and sends it to a subscription as a server would.

The subscription asks, gives credit, and asks again after a break from where it is, all as it does
with a server: so what is lost, where epochs end and where to go on is its own affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import nats.errors
from nats.aio.msg import Msg

from laplace_server import protocol
from laplace_server.client import _frames
from laplace_server.relay.connection import EngineError, NatsConnection, Way, connect
from laplace_server.relay.jetstream import JetStream, identity_of
from laplace_server.relay.positions import Beginning, find
from laplace_server.relay.records import Assembler
from laplace_server.relay.subjects import Subject
from laplace_server.relay.wire_messages import Message, credit_of, messages_for, size_of, word

_HEARTBEAT_S = 1.0
_SILENCE_S = 3.5  # without one
_PULL_S = 30.0  # how long JetStream keeps a pull
_FORGOTTEN_S = 60.0  # a consumer whose reader is gone
_MOST_MESSAGES = 1000  # in a pull
_MOST_BYTES = 4 << 20
_NS = 10**9


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
        self._deliver = deliver
        self._name = name
        self._sent = (0, 0)
        self._room = asyncio.Event()
        self._assembler = Assembler()
        self._last = (0, 0)  # epoch, and number of the last update that was told
        self._pulled = 0  # messages that JetStream may still send
        self._consumed = 0  # its number of the last that came
        self._pull_again = asyncio.Event()
        self._heard_at = 0.0
        self._failure: asyncio.Future[None]

    def credit(self, body: bytes) -> None:
        """Take what the subscription says."""
        self._allowed = credit_of(body) or self._allowed
        self._room.set()

    async def run(self) -> None:
        """Read until it is cancelled.

        Raises:
            EngineError: it cannot go on; the text says why.
        """
        connection = await connect(self._stream.way, self._name)
        try:
            jetstream = JetStream(connection, self._stream.subject)
            beginning = await self._begin(jetstream)
            if beginning is not None:
                await self._read(connection, jetstream, beginning.seq)
        finally:
            await connection.close()

    # ---- the answer

    async def _begin(self, jetstream: JetStream) -> Beginning | None:
        """Answer the question; None: with an error."""
        epoch: int | None = self._question["payload"].get("epoch")
        name = self._stream.subject.stream
        try:
            beginning = await find(jetstream, self._start, epoch)
            problem = f"No such stream in NATS yet: {jetstream.subject}"
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

    async def _read(self, connection: NatsConnection, jetstream: JetStream, seq: int) -> None:
        client = connection.client
        self._failure = asyncio.get_running_loop().create_future()
        consumer = client.new_inbox().rpartition(".")[2]
        await self._make_consumer(jetstream, consumer, seq)
        inbox = client.new_inbox()
        await client.subscribe(inbox, cb=self._hear, pending_msgs_limit=0, pending_bytes_limit=0)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{jetstream.name}.{consumer}"
        pull = {
            "batch": _MOST_MESSAGES,
            "max_bytes": max(_MOST_BYTES, 2 * connection.most_bytes),
            "expires": int(_PULL_S * _NS),
            "idle_heartbeat": int(_HEARTBEAT_S * _NS),
        }
        while True:
            self._pulled = _MOST_MESSAGES
            self._pull_again.clear()
            self._heard_at = time.monotonic()
            with _told():
                await client.publish(subject, json.dumps(pull).encode(), reply=inbox)
            await self._until_pulled(connection)

    async def _make_consumer(self, jetstream: JetStream, name: str, seq: int) -> None:
        config = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": seq,
            "ack_policy": "none",
            "inactive_threshold": int(_FORGOTTEN_S * _NS),
            "mem_storage": True,
            "num_replicas": 1,
        }
        create = f"CONSUMER.CREATE.{jetstream.name}.{name}"
        await jetstream.connection.ask(create, stream_name=jetstream.name, config=config)

    async def _until_pulled(self, connection: NatsConnection) -> None:
        """Wait until all that was pulled has come."""
        again = asyncio.ensure_future(self._pull_again.wait())
        closed = asyncio.ensure_future(connection.closed.wait())
        ends: set[asyncio.Future[Any]] = {again, closed, self._failure}
        try:
            while not again.done():
                await asyncio.wait(ends, timeout=_HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
                if self._failure.done():
                    self._failure.result()
                if closed.done():
                    raise EngineError("the connection to NATS broke")
                if time.monotonic() > self._heard_at + _SILENCE_S:
                    raise EngineError("JetStream says nothing any more")
        finally:
            again.cancel()
            closed.cancel()

    async def _hear(self, message: Msg) -> None:
        if self._failure.done():
            return
        try:
            await self._take(message)
        except (EngineError, ValueError) as error:
            if not self._failure.done():
                self._failure.set_exception(EngineError(str(error)))

    async def _take(self, message: Msg) -> None:
        self._heard_at = time.monotonic()
        headers = message.headers or {}
        status = headers.get("Status")
        if status is not None:
            self._take_status(status, headers.get("Description", ""))
            return
        self._count(message.reply)
        record = self._assembler.put(identity_of(headers), message.data)
        if record is not None:
            self._last = record.id.epoch, record.id.last
            for each in messages_for(record, self._number):
                await self._send(each)
        self._pulled -= 1
        if self._pulled == 0:
            self._pull_again.set()

    def _take_status(self, status: str, description: str) -> None:
        if status == "100":  # a heartbeat
            self._deliver(word(_frames.ALIVE, self._number, *self._last))
        elif status in ("404", "408") or "MaxBytes" in description:  # that pull is over
            self._pull_again.set()
        else:
            raise EngineError(f"JetStream has ended it: {description or status}")

    def _count(self, reply: str) -> None:
        """Note the number that JetStream has given it for this consumer: none may be missing."""
        parts = reply.split(".")
        number = int(parts[6 if len(parts) == 9 else 8])
        if number != self._consumed + 1:
            raise EngineError("a message was lost on the way from JetStream")
        self._consumed = number

    async def _send(self, message: Message) -> None:
        while not (self._sent[0] < self._allowed[0] and self._sent[1] < self._allowed[1]):
            self._room.clear()
            self._heard_at = math.inf  # it is the subscription that is waited for
            await self._room.wait()
        self._heard_at = time.monotonic()
        self._sent = self._sent[0] + 1, self._sent[1] + size_of(message)
        self._deliver(message)


@contextlib.contextmanager
def _told() -> Any:
    try:
        yield
    except (nats.errors.Error, OSError) as error:
        raise EngineError(f"the connection to NATS broke ({error})") from None
