"""Asks NATS what it knows of a device, on a connection for that alone."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine
from typing import Any, Generic, NamedTuple, TypeVar

from laplace_server import protocol
from laplace_server.client.loop_thread import LoopThread
from laplace_server.errors import RemoteError, RequestTimeout
from laplace_server.relay.connection import SILENT, EngineError, connect
from laplace_server.relay.device_notes import DeviceNotes
from laplace_server.relay.directory import nothing_of, streams_of
from laplace_server.relay.subjects import Subject
from laplace_server.relay.way import Way

Info = dict[str, Any]
Answer = TypeVar("Answer")


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
            streams: Info = {name: {} for name in await streams_of(connection, self.subject)}
        finally:
            await connection.close()
        return {**info, "name": self.subject.device, "streams": streams}

    async def stream_names(self) -> list[str]:
        """Return the names of its streams; raise RemoteError where NATS has none."""
        connection = await connect(self.way.in_any_order(), self.name)
        try:
            names = await streams_of(connection, self.subject)
            if not names:
                why = await nothing_of(connection, self.subject)
                raise RemoteError(why, protocol.CMD_INFO, self.subject.device_subject)
        finally:
            await connection.close()
        return names

    async def of(self, epoch: int) -> Info:
        """Return what INFO told in a life of the server, or else last."""
        connection = await connect(self.way.in_any_order(), self.name)
        try:
            notes = DeviceNotes(connection, self.subject)
            info = await notes.info(epoch) or await notes.info() or {}
        finally:
            await connection.close()
        return {**info, "name": self.subject.device}


async def ask_in_time(
    question: Coroutine[Any, Any, Answer], seconds: float, address: str
) -> Answer:
    """Return the answer.

    Raises:
        RequestTimeout: there is none in time, or NATS cannot say.
    """
    why = SILENT
    try:
        return await asyncio.wait_for(question, seconds)
    except asyncio.TimeoutError:
        pass
    except EngineError as error:
        why = str(error)
    raise RequestTimeout(protocol.CMD_INFO, address, seconds, why)


def wait_for(question: Coroutine[Any, Any, Answer], seconds: float, address: str) -> Answer:
    """The same for threads."""
    asking = _Asking(ask_in_time(question, seconds, address))
    try:
        return asking.answer.result()
    except BaseException:
        asking.end()
        raise


class _Asking(Generic[Answer]):
    """A question at work in the thread of all who must not wait."""

    def __init__(self, question: Coroutine[Any, Any, Answer]) -> None:
        self.answer: concurrent.futures.Future[Answer] = concurrent.futures.Future()
        self._question = question
        self._task: asyncio.Task[Answer] | None = None
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

    def _over(self, task: asyncio.Task[Answer]) -> None:
        self._thread.leave(self)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self.answer.set_result(task.result())
        else:
            self.answer.set_exception(error)
