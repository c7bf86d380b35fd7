"""A gathering for asyncio."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import warnings
from collections.abc import Generator
from operator import itemgetter
from types import TracebackType
from typing import Any

from laplace_server.client.asyncio.bell import Alarm, Bell
from laplace_server.client.stream_source import AsyncStreamSource
from laplace_server.client.subscription import deadline_of
from laplace_server.errors import ClientClosed
from laplace_server.gather.base import BaseGathering, Taken
from laplace_server.gather.gatherer import Gatherer
from laplace_server.gather.plan import Plan
from laplace_server.gather.record import Record


class _Bells:
    """Ring for all tasks that wait; they know nobody, so who is forgotten can be collected."""

    def __init__(self) -> None:
        self._waiting: set[Bell] = set()
        self._alarm = Alarm()

    def ring(self) -> None:
        for bell in list(self._waiting):
            bell.ring()

    async def wait(self, deadline: float, now: float) -> None:
        """Wait until they ring, or for a while."""
        bell = Bell()
        self._waiting.add(bell)
        try:
            await self._alarm.wait(bell, deadline, now)
        finally:
            self._waiting.discard(bell)


class AsyncGathering(BaseGathering):
    """An asynchronous iterator over records; made by ``gather`` of sources for it.

    ``async with`` or ``await`` begins it, in the event loop that it then belongs to. It goes on
    whatever happens to its sources, and ends when it is closed, and not before. Tasks may share it:
    each record goes to one of them; a cancelled one loses none.

    Beginning it may raise:
        RemoteError, InvalidReply: as a subscription.
        ClientClosed: it is closed, or one of the clients is.
        RuntimeError: another task is beginning it.
    """

    def __init__(self, plan: Plan) -> None:
        self._bells = _Bells()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_begun = False
        super().__init__(plan, Gatherer(plan, self._bells.ring))

    # ---- beginning

    def __await__(self) -> Generator[Any, None, AsyncGathering]:
        return self._begin().__await__()

    async def __aenter__(self) -> AsyncGathering:
        return await self

    async def _begin(self) -> AsyncGathering:
        self._check_open()
        if self._has_begun:
            return self  # as in `async with (await gather(...))`
        if self._loop is not None:
            raise RuntimeError(f"{self!r} is being begun by another task.")
        self._loop = asyncio.get_running_loop()
        clients = {}
        for name, each in self._plan.sources.items():
            assert isinstance(each.client, AsyncStreamSource)
            clients[name] = each.client
        try:
            await self._gatherer.begin(clients)
        except BaseException:
            await self.close()
            raise
        if self._closed:  # meanwhile
            await self._gatherer.end()
            self._check_open()
        self._has_begun = True
        return self

    # ---- records

    def __aiter__(self) -> AsyncGathering:
        return self

    async def __anext__(self) -> Record:
        try:
            return await self.next()
        except ClientClosed:
            if self._process != os.getpid() or not self._closed:
                raise
            raise StopAsyncIteration from None

    async def next(self, timeout: float | None = None) -> Record:
        """Return the next record, waiting for it up to ``timeout`` seconds; None: for ever.

        Raises:
            TimeoutError: none came in time; its text says which sources are not followed, and why.
            ClientClosed: it is closed, before or meanwhile, or has not begun, or was made before
                this process was forked.
            TypeError, ValueError: ``timeout`` is no number of seconds.
        """
        return (await self._take(timeout, 1))[0]

    async def take(self, timeout: float | None = None) -> list[Record]:
        """Return all records that are there, in order; wait for one up to ``timeout`` seconds.

        As ``Gathering.take``.
        """
        return await self._take(timeout, sys.maxsize)

    async def _take(self, timeout: float | None, most: int) -> list[Record]:
        deadline = deadline_of(timeout)
        gatherer, taken = self._gatherer, Taken()
        await asyncio.sleep(0)  # other tasks have their turn, also where there is always something
        try:
            while True:
                self._check_open()
                if self._loop is None:
                    raise ClientClosed(f"{self!r} has not begun: await it, or use `async with`.")
                self._take_into(taken, most)
                if taken:
                    break
                if gatherer.problem is not None:
                    raise gatherer.problem
                now = time.monotonic()
                if now >= deadline:
                    raise self._none_in_time()
                await self._bells.wait(deadline, now)
            if gatherer.holds_up:
                gatherer.look()
            return list(map(itemgetter(0), taken))
        except BaseException:
            self._put_back(taken)
            raise

    # ---- the end

    async def close(self) -> None:
        """End it; again does nothing.

        A task that waits in ``next`` gets ClientClosed, one that iterates comes to the end; what
        was not taken is thrown away.
        """
        self._closed = True
        if self._process != os.getpid():
            return  # the connections are the parent's
        self._ready.clear()
        self._bells.ring()
        await self._gatherer.end()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        loop = None if self._closed else self._loop
        if loop is not None and self._process == os.getpid():
            warnings.warn(f"{self!r} was not closed.", ResourceWarning, stacklevel=2, source=self)
            self._gatherer.abandon(loop)
