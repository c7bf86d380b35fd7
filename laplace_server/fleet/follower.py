"""Follows one device of a fleet in an event loop: is it there, and does it know its settings?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import zmq

from laplace_server.client.asyncio.client import AsyncClientLHC
from laplace_server.errors import (
    LaplaceError,
    NotPermitted,
    RemoteError,
    RequestTimeout,
    VersionMismatch,
)
from laplace_server.fleet.device import Device, Telling
from laplace_server.fleet.notices import Notice
from laplace_server.protocol import LOGGER_NAME
from laplace_server.wire.logs import Log

if TYPE_CHECKING:
    from laplace_server.security import ClientSecurity

log = Log(LOGGER_NAME)

INFO_PERIOD_S = 5.0
"""How old what a device says of itself gets, in seconds."""

_RESTARTED = "its connection broke: it was started anew, or the network was away"


class _Client(AsyncClientLHC):
    """Shows what only its fleet needs."""

    @property
    def opened(self) -> int:
        """How many connections it has had."""
        return 0 if self._pool is None else self._pool.opened

    async def tell(self, telling: Telling) -> None:
        """Send a setting, and wait for the answer."""
        await self._ask(telling.setting.request(self._requests), None)


class Follower:
    """Two tasks, and two clients: a device that is slow with a setting stays present.

    By one only PINGs are sent, one after the other: where that has another connection, the device
    may have been started anew. Whatever else takes too long breaks connections of the other.

    Args:
        device: what is known of it.
        name, timeout_s, security: as for ClientLHC.
        period_s: from the end of one look to the next, in seconds.
        on_change: called in the event loop after whatever may have changed, with what is to be
            told to the program of it, if anything.
    """

    def __init__(
        self,
        device: Device,
        name: str | None,
        period_s: float,
        timeout_s: float,
        security: ClientSecurity | None,
        on_change: Callable[[Notice | None], None],
    ) -> None:
        self.device = device
        self._watching = _Client(device.address, name, timeout_s, security=security)
        self._asking = _Client(device.address, name, timeout_s, security=security)
        self._period_s = period_s
        self._on_change = on_change
        self._opened = 0
        self._info_due = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()

    def start(self) -> None:
        """Begin, in the event loop that runs; once only."""
        for work, what in ((self._watch(), "watch"), (self._tell_all(), "tell")):
            self._tasks.append(
                asyncio.get_running_loop().create_task(work, name=f"{what} {self.device.address}")
            )

    def wake(self) -> None:
        """There may be something to tell."""
        self._news.set()

    def cancel(self) -> None:
        """Say nothing more."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """End, without waiting for answers; after ``cancel``."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._watching.close()
        await self._asking.close()

    # ---- is it there?

    async def _watch(self) -> None:
        while True:
            try:
                await self._look()
            except LaplaceError as error:
                self._lose(_text(error))
            except (zmq.ZMQError, OSError) as error:  # such as no descriptors left here
                self._lose(f"{type(error).__name__}: {error}")
            except Exception as error:
                log.exception("Fleet: a look at %s failed.", self.device.address)
                self._lose(f"{type(error).__name__}: {error}")
            await asyncio.sleep(self._period_s)

    async def _look(self) -> None:
        client, device = self._watching, self.device
        latency_s = await client.ping()
        anew = client.opened != self._opened
        if device.present and not anew:
            device.answered(time.time(), latency_s)
            before = device.state.info
            if time.monotonic() >= self._info_due:
                anew = _has_other_epoch(before, await self._ask_info())
            self._on_change(None)
            if not anew:
                return
        # What answers at once by another connection may know nothing of what was told before.
        if device.present:
            self._lose(_RESTARTED)
        self._opened = client.opened
        latency_s = await client.ping()  # without the time it takes to connect
        info = await self._ask_info()
        device.join(time.time(), latency_s, info)
        log.info("Fleet: %s at %s is there.", device.state.name, device.address)
        self._news.set()
        self._on_change(Notice(True, device.state))

    async def _ask_info(self) -> dict[str, Any] | None:
        """Return what it says of itself, which no device has to."""
        self._info_due = time.monotonic() + INFO_PERIOD_S
        with suppress(LaplaceError):
            info = await self._asking.info()
            self.device.described(info)
            return info
        return None

    def _lose(self, reason: str) -> None:
        was_present = self.device.lose(time.time(), reason)
        state = self.device.state
        if was_present:
            log.warning("Fleet: %s at %s is lost: %s", state.name, state.address, reason)
        self._on_change(Notice(False, state) if was_present else None)

    # ---- what it is to know

    async def _tell_all(self) -> None:
        while True:
            self._news.clear()
            telling, due = self.device.next_telling(time.monotonic())
            if telling is None:
                await self._wait_for_news(due)
                continue
            try:
                await self._asking.tell(telling)
            except (NotPermitted, VersionMismatch) as error:
                self._fail(telling, error, final=True)
            except Exception as error:
                self._fail(telling, error, final=False)
            else:
                telling.succeed()
            self._on_change(None)

    async def _wait_for_news(self, due: float | None) -> None:
        timer = None
        if due is not None:
            seconds = max(0.0, due - time.monotonic())
            timer = asyncio.get_running_loop().call_later(seconds, self._news.set)
        try:
            await self._news.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def _fail(self, telling: Telling, error: Exception, *, final: bool) -> None:
        trouble = _text(error)
        if telling.fail(time.monotonic(), trouble, final=final):
            log.warning("Fleet: %s to %s: %s", telling.setting.cmd, self.device.address, trouble)


def _has_other_epoch(before: Mapping[str, Any] | None, info: Mapping[str, Any] | None) -> bool:
    """Say whether a device was started anew behind a proxy, as far as it tells: with streams."""
    epochs = [each.get("epoch") for each in (before, info) if each is not None]
    return len(epochs) == 2 and None not in epochs and epochs[0] != epochs[1]


def _text(error: Exception) -> str:
    if isinstance(error, RequestTimeout):
        return error.reason or f"no answer within {error.timeout_s:g} s"
    if isinstance(error, RemoteError):
        return f"it answers: {error}"
    return str(error) if isinstance(error, LaplaceError) else f"{type(error).__name__}: {error}"
