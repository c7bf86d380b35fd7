"""A fleet for asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from laplace_server.client.not_copied import NotCopied
from laplace_server.client.requests import seconds_of
from laplace_server.errors import ClientClosed
from laplace_server.fleet.callbacks import Callbacks
from laplace_server.fleet.face import FleetFace, Result
from laplace_server.fleet.following import Following
from laplace_server.fleet.notices import Notice
from laplace_server.fleet.state import DeviceState

if TYPE_CHECKING:
    from laplace_server.fleet.following import FindSecurity

__all__ = ["AsyncFleet"]

Callback = Callable[[DeviceState], Awaitable[object] | object]


class AsyncFleet(NotCopied, FleetFace):
    """Devices followed in the event loop: ``async with AsyncFleet(addresses) as fleet:``.

    Arguments and methods are those of ``Fleet``; ``wait``, ``start`` and ``close`` are awaited, the
    others return at once. All but making it is for the event loop's thread. Callbacks may be
    coroutine functions; they are called one after the other, in the order of what happened.
    """

    def __init__(
        self,
        addresses: Iterable[str] = (),
        *,
        name: str | None = None,
        period_s: float = 0.5,
        timeout_s: float = 2.0,
        security: FindSecurity | None = None,
    ) -> None:
        self._news = asyncio.Event()
        self._callbacks: Callbacks[Callback] = Callbacks()
        self._announcing: asyncio.Task[None] | None = None
        self._calling: asyncio.Task[None] | None = None  # a callback
        self._closed = False
        self._following = Following(addresses, name, period_s, timeout_s, security, self._news.set)

    def set_on_joined(self, func: Callback | None) -> None:
        """See ``Fleet.set_on_joined``."""
        self._callbacks.set_on_joined(func)

    def set_on_lost(self, func: Callback | None) -> None:
        """See ``Fleet.set_on_lost``."""
        self._callbacks.set_on_lost(func)

    async def wait(self, timeout_s: float) -> dict[str, str]:
        """See ``Fleet.wait``."""
        if self._announcing is None or self._closed:
            raise ClientClosed("The fleet is not started, or is closed.")
        return await self._following.wait(seconds_of(timeout_s))

    async def start(self) -> None:
        """Begin to follow, once only.

        Raises:
            ClientClosed: it was started before, or is closed.
        """
        if self._announcing is not None or self._closed:
            raise ClientClosed("A fleet is started once, and not after its close.")
        self._following.start()
        self._announcing = asyncio.get_running_loop().create_task(self._announce())

    async def close(self) -> None:
        """End; again does nothing. A callback that waits is cancelled."""
        closed, self._closed = self._closed, True
        if self._announcing is None or closed:
            return
        closing = asyncio.ensure_future(self._following.close())
        if self._calling is None or self._calling is not asyncio.current_task():
            self._announcing.cancel()
            await asyncio.gather(self._announcing, return_exceptions=True)
        await closing

    async def __aenter__(self) -> AsyncFleet:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _call(self, function: Callable[[], Result]) -> Result:
        return function()

    async def _announce(self) -> None:
        while not self._closed:  # a callback may have closed it
            await self._news.wait()
            self._news.clear()
            while (notice := self._following.notices.take()) is not None:
                self._calling = asyncio.ensure_future(self._call_back(notice))
                # That what a callback awaits was cancelled is its outcome. Only where this task is
                # cancelled, it is raised here.
                (outcome,) = await asyncio.gather(self._calling, return_exceptions=True)
                if isinstance(outcome, asyncio.CancelledError):
                    with self._callbacks.logged(notice, asyncio.CancelledError):
                        raise outcome

    async def _call_back(self, notice: Notice) -> None:
        with self._callbacks.logged(notice, Exception):
            result = self._callbacks.call(notice)
            if inspect.isawaitable(result):
                await result
