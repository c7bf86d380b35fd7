"""Asks NATS what it knows of a device, on a connection for that alone."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Coroutine
from typing import Any, NamedTuple

from laplace_server import protocol
from laplace_server.client.loop_thread import LoopThread
from laplace_server.errors import RequestTimeout
from laplace_server.relay.connection import EngineError, NatsConnection, connect
from laplace_server.relay.device_notes import DeviceNotes
from laplace_server.relay.subjects import NOTES, Subject, name_of, read_subject
from laplace_server.relay.way import Way

Info = dict[str, Any]


class DeviceInfo(NamedTuple):
    """Of the device of ``subject``; all that is asked may raise EngineError."""

    way: Way
    subject: Subject
    name: str
    """What NATS shows of the connection."""

    async def last(self) -> Info:
        """Return what INFO told last, and which streams there are."""
        connection = await connect(self.way.in_any_order(), self.name)
        try:
            info = await DeviceNotes(connection, self.subject).info() or {}
            streams: Info = {name: {} for name in await self._streams(connection)}
        finally:
            await connection.close()
        return {**info, "name": self.subject.device, "streams": streams}

    async def of(self, epoch: int) -> Info:
        """Return what INFO told in a life of the server, or else last."""
        connection = await connect(self.way.in_any_order(), self.name)
        try:
            notes = DeviceNotes(connection, self.subject)
            info = await notes.info(epoch) or await notes.info() or {}
        finally:
            await connection.close()
        return {**info, "name": self.subject.device}

    async def _streams(self, connection: NatsConnection) -> list[str]:
        """Return the names of the device's streams in JetStream."""
        prefix, device = self.subject.prefix, self.subject.device_subject
        begin = name_of(device) + "+"
        # Mirrors have no subjects, but the names of what they mirror.
        names = await _names(connection, subject=f"{device}.*") or await _names(connection)
        found = []
        for name in names:
            if name.startswith(begin) and name != begin + NOTES:
                with contextlib.suppress(ValueError):  # somebody else's
                    stream = name.removeprefix(begin)
                    found.append(read_subject(f"{device}.{stream}", prefix).stream)
        return found


async def _names(connection: NatsConnection, **which: Any) -> list[str]:
    found: list[str] = []
    total = 1
    while len(found) < total:
        answer = await connection.ask("STREAM.NAMES", offset=len(found), **which)
        total = int(answer["total"])
        names = answer.get("streams") or []
        if not names:
            break
        found += names
    return found


async def ask_in_time(question: Coroutine[Any, Any, Info], seconds: float, address: str) -> Info:
    """Return the answer.

    Raises:
        RequestTimeout: there is none in time, or NATS cannot say.
    """
    why = "NATS has not answered"
    try:
        return await asyncio.wait_for(question, seconds)
    except asyncio.TimeoutError:
        pass
    except EngineError as error:
        why = str(error)
    raise RequestTimeout(protocol.CMD_INFO, address, seconds, why)


def wait_for(question: Coroutine[Any, Any, Info], seconds: float, address: str) -> Info:
    """The same for threads."""
    asking = _Asking(ask_in_time(question, seconds, address))
    try:
        return asking.answer.result()
    except BaseException:
        asking.end()
        raise


class _Asking:
    """A question at work in the thread of all who must not wait."""

    def __init__(self, question: Coroutine[Any, Any, Info]) -> None:
        self.answer: concurrent.futures.Future[Info] = concurrent.futures.Future()
        self._question = question
        self._task: asyncio.Task[Info] | None = None
        self._thread = LoopThread.enter(self)
        self._thread.call(self._begin)

    def end(self) -> None:
        """End it; waits for nothing."""
        self._thread.call(self.finish)

    def finish(self) -> None:
        """End it. Called in the loop."""
        if self._task is None:
            self._begin()
        assert self._task is not None
        self._task.cancel()

    def _begin(self) -> None:
        if self._task is not None:
            return
        self._task = asyncio.ensure_future(self._question)
        self._task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Info]) -> None:
        self._thread.leave(self)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self.answer.set_result(task.result())
        else:
            self.answer.set_exception(error)
