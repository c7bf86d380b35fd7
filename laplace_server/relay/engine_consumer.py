"""Reads messages of a stream out of JetStream, in order, as many as are pulled."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import nats.errors
from nats.aio.msg import Msg

from laplace_server.relay.connection import BROKEN, EngineError
from laplace_server.relay.jetstream import JetStream, identity_of
from laplace_server.relay.records import RecordId

_HEARTBEAT_S = 1.0
_SILENCE_S = 3.5  # without one
_PULL_S = 30.0  # how long JetStream keeps a pull
_FORGOTTEN_S = 60.0  # a consumer whose reader is gone
_MOST_BYTES = 4 << 20
_NS = 10**9
_ALL_CAME = "Batch Completed"  # as was seen before; perhaps the next pull is under way


class EngineConsumer:
    """A consumer of JetStream, and another one where it is to begin elsewhere. A block.

    Args:
        jetstream: what to read.
        take: awaited for each message, in order.
        alive: called about each second while there is nothing.
    """

    def __init__(
        self,
        jetstream: JetStream,
        take: Callable[[RecordId, bytes], Awaitable[None]],
        alive: Callable[[], object],
    ) -> None:
        self.pending = 0
        """Messages behind the last one, when that came."""
        self.size = 0
        """Bytes of the last one."""
        self._jetstream = jetstream
        self._connection = jetstream.connection
        self._take = take
        self._alive = alive
        self._name = ""
        self._inbox = ""
        self._wanted = 0  # messages that JetStream may still send
        self._consumed = 0  # its number of the last that came
        self._is_over = asyncio.Event()
        self._heard_at = 0.0
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> EngineConsumer:
        client = self._connection.client
        self._inbox = client.new_inbox()
        with _told():
            await client.subscribe(
                self._inbox, cb=self._hear, pending_msgs_limit=0, pending_bytes_limit=0
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._failure.cancel()

    async def begin(self, seq: int) -> None:
        """Begin at a message, by JetStream's number of it; nothing that was pulled is left.

        Raises:
            EngineError: JetStream cannot.
        """
        before, self._name = self._name, self._connection.client.new_inbox().rpartition(".")[2]
        self._consumed = self.pending = 0
        config = {
            "name": self._name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": seq,
            "ack_policy": "none",
            "inactive_threshold": int(_FORGOTTEN_S * _NS),
            "mem_storage": True,
            "num_replicas": 1,
        }
        stream, ask = self._jetstream.name, self._connection.ask
        await ask(f"CONSUMER.CREATE.{stream}.{self._name}", stream_name=stream, config=config)
        if before:
            await ask(f"CONSUMER.DELETE.{stream}.{before}")

    async def pull(self, count: int) -> None:
        """Have so many messages come, and wait until that is over; they may be fewer, or none.

        Raises:
            EngineError: it cannot go on.
        """
        connection = self._connection
        wish = {
            "batch": count,
            "max_bytes": max(_MOST_BYTES, 2 * connection.most_bytes),
            "expires": int(_PULL_S * _NS),
            "idle_heartbeat": int(_HEARTBEAT_S * _NS),
        }
        self._wanted = count
        self._is_over.clear()
        self._heard_at = time.monotonic()
        subject = f"{connection.api}.CONSUMER.MSG.NEXT.{self._jetstream.name}.{self._name}"
        with _told():
            await connection.client.publish(subject, json.dumps(wish).encode(), reply=self._inbox)
        await self._until_over()

    @contextlib.contextmanager
    def held_up(self) -> Any:
        """While somebody else is waited for, JetStream may be silent."""
        self._heard_at = math.inf
        try:
            yield
        finally:
            self._heard_at = time.monotonic()

    async def _until_over(self) -> None:
        over = asyncio.ensure_future(self._is_over.wait())
        closed = asyncio.ensure_future(self._connection.closed.wait())
        ends: set[asyncio.Future[Any]] = {over, closed, self._failure}
        try:
            while not over.done():
                await asyncio.wait(ends, timeout=_HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
                if self._failure.done():
                    self._failure.result()
                if closed.done():
                    raise EngineError(BROKEN)
                if time.monotonic() > self._heard_at + _SILENCE_S:
                    raise EngineError("JetStream says nothing any more")
        finally:
            over.cancel()
            closed.cancel()

    async def _hear(self, message: Msg) -> None:
        if self._failure.done():
            return
        try:
            await self._handle(message)
        except (EngineError, ValueError) as error:
            if not self._failure.done():
                self._failure.set_exception(EngineError(str(error)))

    async def _handle(self, message: Msg) -> None:
        self._heard_at = time.monotonic()
        headers = message.headers or {}
        status = headers.get("Status")
        if status is not None:
            self._take_status(status, headers.get("Description", ""))
            return
        self._count(message.reply)
        self.size = len(message.data)
        await self._take(identity_of(headers), message.data)
        self._wanted -= 1
        if self._wanted == 0:
            self._is_over.set()

    def _take_status(self, status: str, description: str) -> None:
        if status == "100":  # a heartbeat
            self._alive()
        elif status in ("404", "408") or "MaxBytes" in description:
            self._is_over.set()
        elif description != _ALL_CAME:
            raise EngineError(f"JetStream has ended it: {description or status}")

    def _count(self, reply: str) -> None:
        """Note the number that JetStream has given it for this consumer: none may be missing."""
        parts = reply.split(".")
        at = 6 if len(parts) == 9 else 8
        number, self.pending = int(parts[at]), int(parts[at + 2])
        if number != self._consumed + 1:
            raise EngineError("a message was lost on the way from JetStream")
        self._consumed = number


@contextlib.contextmanager
def _told() -> Any:
    try:
        yield
    except (nats.errors.Error, OSError) as error:
        raise EngineError(f"{BROKEN} ({error})") from None
