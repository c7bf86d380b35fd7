"""Keeps the notes on a stream's device up to date. What goes wrong with them stops no relaying."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import zmq

from laplace_server.client import AsyncClientLHC
from laplace_server.errors import LaplaceError
from laplace_server.protocol import LOGGER_NAME
from laplace_server.relay.connection import EngineError
from laplace_server.relay.device_notes import DeviceNotes
from laplace_server.relay.jetstream import Ends, Stored
from laplace_server.relay.owners import OtherDevice, Owner
from laplace_server.wire.logs import Log

log = Log(LOGGER_NAME)

_PERIOD_S = 2.0
_INFO_S = 30.0  # INFO may change, as when callbacks are set
_LONGEST_S = 2.0  # for INFO, which updates wait for


class NoteKeeper:
    """Of one stream.

    Args:
        stream: its name.
        title: what it is called in the log.
        owner: which device it is of.
        replicas: on how many servers of a cluster notes are.
    """

    def __init__(self, stream: str, title: str, owner: Owner, replicas: int) -> None:
        self.stored: Stored | None = None
        """The last message that is known to be stored."""
        self.created = ""
        """When JetStream's stream that has it was made."""
        self._stream = stream
        self._title = title
        self._owner = owner
        self._replicas = replicas
        self._notes: DeviceNotes | None = None
        self._noted: Stored | None = None
        self._epoch = 0  # whose INFO was asked for
        self._ask_at = 0.0
        self._told: str | None = None

    async def begin(self, notes: DeviceNotes) -> None:
        """Use this place from now on.

        Raises:
            OtherDevice: it is of another device of the same name.
        """
        self._notes = None
        with self._told_only():
            await notes.ensure(self._replicas, self._owner)
            self._notes = notes

    async def last(self, ends: Ends) -> Stored | None:
        """Return which message was the last, of a stream that has none any more; None: it is not
        known, or that was in a store which was put back in time.

        Args:
            ends: of the stream.

        Raises:
            EngineError: JetStream cannot say.
        """
        found = self.stored
        if self.created != ends.created or found is None or found.seq != ends.last_seq:
            notes = self._notes
            found = None if notes is None else await notes.last(self._stream, ends.created)
        return None if found is None or found.seq > ends.last_seq else found

    async def describe(self, client: AsyncClientLHC, epoch: int) -> None:
        """Note what INFO tells, once in each life of the server; ``epoch``: which it is."""
        if epoch != self._epoch:
            self._epoch = epoch
            await self._describe(client)

    async def run(self, client: AsyncClientLHC) -> None:
        """Keep them up to date until it is cancelled."""
        while self._notes is not None:
            await asyncio.sleep(_PERIOD_S)
            stored = self.stored
            if stored is not None and stored != self._noted:
                with self._told_only():
                    await self._notes.put_last(self._stream, self.created, stored)
                    self._noted = stored
            if time.monotonic() >= self._ask_at:
                await self._describe(client)

    async def _describe(self, client: AsyncClientLHC) -> None:
        self._ask_at = time.monotonic() + _INFO_S
        if self._notes is None:
            return
        with self._told_only(), contextlib.suppress(LaplaceError, OSError, zmq.ZMQError):
            # (That the server is away, others say.)
            info = await client.info(timeout_s=_LONGEST_S)
            await asyncio.wait_for(self._notes.put_info(info), _LONGEST_S)

    @contextlib.contextmanager
    def _told_only(self) -> Iterator[None]:
        why = None
        try:
            yield
        except OtherDevice:
            raise
        except EngineError as error:
            why = str(error)
        except asyncio.TimeoutError:
            why = "JetStream takes too long"
        if why is not None and why != self._told:
            log.warning("%s: nothing is noted in NATS of its device: %s.", self._title, why)
            self._told = why
