"""Subscriptions for asyncio: to updates, and to packs of them."""

from __future__ import annotations

import asyncio
import os
import time
import warnings
from collections.abc import Generator
from types import TracebackType
from typing import Any, Generic, TypeVar

from laplace_server.client.asyncio.driver import TaskDriver
from laplace_server.client.leftovers import Leftovers
from laplace_server.client.packs import Pack, PackProtocol
from laplace_server.client.subscription import deadline_of
from laplace_server.client.updates import Update
from laplace_server.errors import ClientClosed

__all__ = ["AsyncPackSubscription", "AsyncSubscription"]

Taken = TypeVar("Taken", bound="Update | Pack")
Own = TypeVar("Own", bound="_Taking[Any]")


class _Taking(TaskDriver, Generic[Taken]):
    """A subscription, whatever is taken from it."""

    def __init__(self, address: str, name: str, stream: str, **options: Any) -> None:
        super().__init__(address, name, stream, **options)
        self._closed = False

    # ---- beginning

    def __await__(self: Own) -> Generator[Any, None, Own]:
        return self._begin().__await__()

    async def __aenter__(self: Own) -> Own:
        return await self

    async def _begin(self: Own) -> Own:
        self._check_process()
        if self._closed:
            raise ClientClosed(f"{self!r} is closed.")
        if self._check is not None:
            try:
                self._settle(await self._work(self._is_settled, time.monotonic() + self._timeout_s))
            except BaseException:
                await self.close()
                raise
        return self

    # ---- updates

    def __aiter__(self: Own) -> Own:
        return self

    async def __anext__(self) -> Taken:
        try:
            return await self.next()
        except ClientClosed:
            if self._process != os.getpid():
                raise
            raise StopAsyncIteration from None

    async def next(self, timeout: float | None = None) -> Taken:
        """Return the next update, waiting for it up to ``timeout`` seconds; None: for ever.

        Raises:
            TimeoutError: none came in time; its text has the ``trouble``, if there is some.
            ClientClosed: the subscription is closed, before or meanwhile, or has not begun, or it
                was made before this process was forked.
            RemoteError: the server refuses a subscription that it has not granted yet.
            LaplaceError: the update holds arrays, and NumPy is not installed.
            TypeError, ValueError: ``timeout`` is no number of seconds.
            RuntimeError: another task is waiting for one.
        """
        deadline = deadline_of(timeout)
        update, left = None, self._leftovers()
        try:
            while True:
                for update in left or self._protocol.batch:
                    return update  # type: ignore[no-any-return]
                left = self._left = None
                await self._fill(deadline)
        except BaseException:
            if update is not None:  # and so not returned
                (left or self._protocol.batch).put_back(update)
            raise

    async def take(self, timeout: float | None = None) -> list[Taken]:
        """Return all updates that are there, in order; wait for one up to ``timeout`` seconds.

        As ``Subscription.take``.
        """
        deadline = deadline_of(timeout)
        kept = self._keep(self._leftovers())
        taken, followed = kept.updates, self._protocol
        self._keeper = asyncio.current_task()
        try:
            taken.extend(followed.batch)
            while not taken:
                await self._fill(deadline)
                taken.extend(followed.batch)
            reach, now = followed.on_the_way, time.monotonic()
            while followed.is_within(reach) and await self._work(followed.read, now):
                taken.extend(followed.batch)
            self._keeper = None
            self._left = None
            return taken
        except BaseException:
            self._keeper = None
            # No signal handler runs after the last call, but a debugger may raise there.
            if not self._closed:
                self._left = kept
            raise

    def _leftovers(self) -> Leftovers | None:
        """Return what an interrupted ``take`` has left, but not what one has that goes on."""
        left = self._left
        if left is not None:
            self._check_alone(self._keeper)
        return left

    async def _fill(self, deadline: float) -> None:
        """Wait until the batch holds an update."""
        if self._check is not None and not self._closed:
            raise ClientClosed(f"{self!r} has not begun: await it, or use `async with`.")
        # Other tasks have their turn, also where there is always something to read.
        if not self._waited:
            await asyncio.sleep(0)
        self._waited = False
        if not await self._work(self._protocol.read, deadline):
            raise self._none_in_time()

    # ---- the end

    async def close(self) -> None:
        """End the subscription; again does nothing.

        A task that waits in ``next`` gets ClientClosed, one that iterates comes to the end.
        """
        self._closed = True
        if self._process != os.getpid():
            return  # the connection is the parent's
        self._end()
        await asyncio.sleep(0)  # for what a loop does by callbacks

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        if not self._closed and self._connection is not None and self._process == os.getpid():
            warnings.warn(f"{self!r} was not closed.", ResourceWarning, stacklevel=2, source=self)
            self._end()


class AsyncSubscription(_Taking[Update]):
    """An asynchronous iterator over a stream's updates; made by ``AsyncClientLHC.subscribe``.

    ``async with`` or ``await`` begins it. It then goes on by itself after a broken connection, and
    after a restart of the server. It ends when it is closed, and not before. One task takes
    updates; a cancelled one loses none.

    Beginning it may raise:
        RequestTimeout, RemoteError, InvalidReply: as a request.
        ClientClosed: it was closed already.
    """


class AsyncPackSubscription(_Taking[Pack]):
    """The same, but it gives the updates of a message together and undecoded, as a ``Pack``.

    Made by ``AsyncClientLHC.subscribe_packs``. ``lost``, ``ended`` and all others count updates.
    """

    def _new_protocol(self, *arguments: Any, **options: Any) -> PackProtocol:
        return PackProtocol(*arguments, **options)
