"""Relays one stream of a device into JetStream, for as long as it is let.

It keeps nothing that a restart would miss: at each begin it asks JetStream for the last message and
goes on behind that. What it has read and JetStream has not confirmed waits in a window; after a
break it is sent again, as far as it still goes on behind what JetStream has. Where it does not, as
after a rival, or where the store was put back in time, the stream is followed anew from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any, NamedTuple

from laplace_server.client import AsyncClientLHC
from laplace_server.client.asyncio.subscription import AsyncPackSubscription
from laplace_server.client.packs import Pack
from laplace_server.errors import LaplaceError
from laplace_server.relay.broker import Broker
from laplace_server.relay.connection import BROKEN, EngineError, NatsConnection, NoAnswer
from laplace_server.relay.device_notes import DeviceNotes
from laplace_server.relay.jetstream import Ends, JetStream, Stored
from laplace_server.relay.keeping import Keeping
from laplace_server.relay.note_keeper import NoteKeeper
from laplace_server.relay.owners import Owner
from laplace_server.relay.publisher import Fenced, Publisher
from laplace_server.relay.records import Kind
from laplace_server.relay.sources import RelaySource
from laplace_server.relay.stats import SourceStats
from laplace_server.relay.subjects import Subject, subject_of
from laplace_server.relay.transcript import Transcript
from laplace_server.relay.troubles import Troubles
from laplace_server.relay.window import Link, Window

_STEP_S = 1.0  # the longest wait for one thing
_REST_S = 0.005
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0  # after what went wrong
_MOST_UNANSWERED = 2  # attempts with one server of a cluster
_STAND_BY_S = 2.0  # a rival that stores nothing for so long has ended, or has nothing to store


class Settings(NamedTuple):
    """What all sources of a relay have in common."""

    prefix: str
    site: str
    keeping: Keeping
    moved: bool


class SourceRelay:
    """One stream. ``run`` does it all; what else there is may be read from any thread."""

    def __init__(self, source: RelaySource, broker: Broker, settings: Settings) -> None:
        self.address = source.address
        self._source = source
        self._broker = broker
        self._settings = settings
        self._client: AsyncClientLHC
        self._subject: Subject | None = None
        self._window = Window()
        self._transcript = Transcript(None)
        self._packs: AsyncPackSubscription | None = None
        self._unfollowed: str | None = None  # the last trouble of a subscription that is closed
        self._troubles = Troubles(f"stream {source.stream!r} of {source.address}")
        self._has_rivals = False
        self._last = (0, 0)
        self._updates = self._lost = self._messages = self._bytes = self._rivals = 0
        self._pause_s = _FIRST_PAUSE_S
        self._unanswered = 0  # attempts in a row
        self._owner = Owner(source.owner, settings.moved)
        self._keeper = NoteKeeper(
            source.stream, self._troubles.title, self._owner, settings.keeping.replicas
        )

    def stats(self) -> SourceStats:
        """Return what is counted."""
        subject, packs = self._subject, self._packs
        unfollowed = self._unfollowed if packs is None else packs.trouble
        return SourceStats(
            address=self._source.address,
            stream=self._source.stream,
            device=None if subject is None else subject.device,
            subject=None if subject is None else str(subject),
            updates=self._updates,
            lost=self._lost,
            messages=self._messages,
            size_bytes=self._bytes,
            epoch=self._last[0],
            last=self._last[1],
            waiting=len(self._window),
            rivals=self._rivals,
            trouble=self._troubles.present or unfollowed,
        )

    async def run(self, client: AsyncClientLHC) -> None:
        """Relay until it is cancelled; ``client``: of the server."""
        self._client = client
        try:
            while True:
                connection = None
                try:
                    connection = await self._broker.connection()
                    await self._relay(connection)
                except Fenced as error:
                    self._rivals += 1
                    self._has_rivals = True
                    self._troubles.tell(f"another relay was first ({error})")
                except (EngineError, LaplaceError) as error:
                    self._troubles.tell(str(error))
                    if connection is not None and isinstance(error, NoAnswer):
                        await self._leave(connection)
                except Exception as error:  # of this source alone, whatever it is
                    self._troubles.tell_fault(error)
                await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.0))
                self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        finally:
            await self._close_packs()

    # ---- from one trouble to the next

    async def _relay(self, connection: NatsConnection) -> None:
        jetstream = JetStream(connection, await self._named())
        # Before all else: of two devices of the same name one has it then, and no trace is left of
        # the other one.
        await self._keeper.begin(DeviceNotes(connection, jetstream.subject))
        if await jetstream.ends() is None:
            await self._await_first(connection)
        unlike = await jetstream.ensure(self._settings.keeping, self._owner)
        if unlike:
            self._troubles.tell_of_limits(jetstream.name, unlike)
        last, ends = await self._end_of(jetstream)
        stored = self._window.begin(last, ends.last_seq)
        if stored is None:
            await self._close_packs()
            self._transcript = Transcript(None if last is None else last.id)
        for link in stored or ():
            self._stored(link, ends.last_seq)
        self._keeper.created, self._keeper.stored = ends.created, last
        async with Publisher(
            connection, str(jetstream.subject), self._window, self._stored
        ) as publisher:
            await self._until_failure(publisher, connection)

    async def _await_first(self, connection: NatsConnection) -> None:
        """Wait for something to store: a stream that nobody ever publishes is not made."""
        if self._window.begin(None, 0) is None:
            await self._close_packs()
            self._transcript = Transcript(None)
        self._troubles.present = None  # NATS is there; what is wrong with the server, packs tell
        while not len(self._window):
            await self._take(connection)
            if connection.closed.is_set():
                raise EngineError(BROKEN)

    async def _end_of(self, jetstream: JetStream) -> tuple[Stored | None, Ends]:
        """Return the last message there is or was, once nobody else writes any more."""
        while True:
            ends, last = await jetstream.ends(), await jetstream.last()
            if ends is None:
                raise EngineError("the stream was deleted just now")
            if self._has_rivals:
                await asyncio.sleep(_STAND_BY_S * random.uniform(1.0, 2.0))
                if await jetstream.ends() != ends:
                    continue
                self._has_rivals = False
            if last is None and ends.last_seq:  # all has grown too old, or was purged
                last = await self._keeper.last(ends)
            return last, ends

    async def _until_failure(self, publisher: Publisher, connection: NatsConnection) -> None:
        pump = asyncio.create_task(self._pump(publisher, connection))
        closed = asyncio.create_task(connection.closed.wait())
        noting = asyncio.create_task(self._keeper.run(self._client))
        try:
            ends: set[asyncio.Future[Any]] = {pump, closed, publisher.failure}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if publisher.failure.done():
                publisher.failure.result()
            if pump.done():
                pump.result()
            raise EngineError(BROKEN)
        finally:
            for task in (pump, closed, noting):
                task.cancel()
            await asyncio.gather(pump, closed, noting, return_exceptions=True)

    async def _leave(self, connection: NatsConnection) -> None:
        """Try another server of the cluster, where this one has not answered again and again."""
        self._unanswered += 1
        if self._unanswered >= _MOST_UNANSWERED:
            self._unanswered = 0
            await self._broker.leave(connection)

    async def _pump(self, publisher: Publisher, connection: NatsConnection) -> None:
        """Move what comes from the server into the window and on to JetStream."""
        last = self._window.last
        if last is not None and len(self._window):  # as what came before there was a stream
            await self._keeper.describe(self._client, last.epoch)
        await publisher.send()
        while True:
            if not await publisher.wait_for_room(_STEP_S):
                continue
            taken = await self._take(connection)
            if taken:
                await self._keeper.describe(self._client, taken[-1].epoch)
            await publisher.send()
            # What comes meanwhile shares a message: these are what costs, not updates.
            await asyncio.sleep(_REST_S)

    async def _take(self, connection: NatsConnection) -> list[Pack]:
        """Move what comes from the server within a time into the window; return it."""
        packs = await self._following()
        taken = []
        with contextlib.suppress(TimeoutError):
            taken = await packs.take(_STEP_S)
        # No await up to here from where they were taken: none is lost where this is cancelled.
        for record in self._transcript.take(taken, packs.ended):
            self._window.add(record, connection.most_body_bytes)
        return taken

    # ---- the server

    async def _named(self) -> Subject:
        """Return the subject, as soon as it is known how the device is called."""
        if self._subject is None:
            source, settings = self._source, self._settings
            device = source.device
            if device is None:
                device = str((await self._client.info())["name"])
            try:
                self._subject = subject_of(settings.prefix, settings.site, device, source.stream)
            except ValueError as error:
                raise EngineError(str(error)) from None
        return self._subject

    async def _following(self) -> AsyncPackSubscription:
        """Return the subscription, which goes on behind the last record."""
        if self._packs is None:
            last = self._window.last
            start = "oldest" if last is None else last.following
            self._packs = self._client.subscribe_packs(self._source.stream, start=start)
            try:
                await self._packs
            except BaseException:
                await self._close_packs()
                raise
        return self._packs

    async def _close_packs(self) -> None:
        packs, self._packs = self._packs, None
        if packs is not None:
            self._unfollowed = packs.trouble
            await packs.close()

    # ---- what is known

    def _stored(self, link: Link, seq: int) -> None:
        identity = link.id
        self._keeper.stored = Stored(seq, identity)
        self._unanswered = 0
        self._messages += 1
        self._bytes += len(link.body)
        if identity.is_complete:
            count = identity.last - identity.first + 1
            if identity.kind is Kind.UPDATES:
                self._updates += count
            else:
                self._lost += count
            self._last = identity.epoch, identity.last
        self._troubles.are_over()
        self._pause_s = _FIRST_PAUSE_S
