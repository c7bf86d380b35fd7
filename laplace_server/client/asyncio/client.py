"""Ask a server with asyncio: the methods of ``ClientLHC``, to be awaited.

    async with AsyncClientLHC("tcp://192.168.1.20:5555") as motor:
        await motor.set([1.5, 2.0])
        print((await motor.get())["positions"])
        async with motor.subscribe("positions") as positions:
            async for update in positions:
                print(update.seq, update.data)

Any event loop will do.
"""

from __future__ import annotations

import asyncio
import os
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from laplace_server.client import forked_clients
from laplace_server.client.asyncio.connections import AsyncPool
from laplace_server.client.asyncio.subscription import AsyncPackSubscription, AsyncSubscription
from laplace_server.client.base import Client
from laplace_server.client.describing import description_of, is_described
from laplace_server.client.documented import as_of_client
from laplace_server.client.moves import Arrival
from laplace_server.client.no_answer import ConnectionBroke, NoAnswer
from laplace_server.client.requests import Answer, Request
from laplace_server.client.starts import Start
from laplace_server.client.stream_source import AsyncStreamSource
from laplace_server.description import DeviceDescription
from laplace_server.errors import NotPermitted, RequestTimeout
from laplace_server.wire import commands

if TYPE_CHECKING:
    from laplace_server.security import ClientSecurity

__all__ = ["AsyncClientLHC"]


class AsyncClientLHC(Client, AsyncStreamSource):
    """A client of one server for asyncio; tasks may share it and ask at the same time.

    Arguments, methods and errors are those of ``ClientLHC``. At most 16 connections are open;
    requests wait for one, in order, and that counts in their time-out. A request that is cancelled
    takes its connection with it; whether the server has run it is not known. It belongs to one
    event loop at a time.
    """

    _pool: AsyncPool | None = None  # for __del__, where a constructor raises

    def __init__(
        self,
        address: str,
        name: str | None = None,
        timeout_s: float = 2.0,
        *,
        security: ClientSecurity | None = None,
    ) -> None:
        super().__init__(address, name, timeout_s, security)
        self._pool = AsyncPool(self.address, self._keys)
        forked_clients.register(self)

    @property
    def closed(self) -> bool:
        """True once ``close()`` has been called."""
        return self._pool is None or self._pool.closed

    # -- requests

    @as_of_client
    async def ping(self, *, timeout_s: float | None = None) -> float:
        request = self._requests.ping
        start = time.perf_counter()
        frames = await self._exchange(request, timeout_s)
        round_trip = time.perf_counter() - start
        request.read(frames)
        return round_trip

    @as_of_client
    async def info(self, *, timeout_s: float | None = None) -> dict[str, Any]:
        return await self._ask(self._requests.info, timeout_s)

    @as_of_client
    async def get(self, *, arrays: bool = False, timeout_s: float | None = None) -> dict[str, Any]:
        requests = self._requests
        return await self._ask(requests.get_arrays() if arrays else requests.get, timeout_s)

    @as_of_client
    async def set(self, positions: Any, *, timeout_s: float | None = None) -> None:
        await self._ask(self._requests.of(commands.SET, positions), timeout_s)

    @as_of_client
    async def move(
        self,
        positions: Any,
        *,
        tolerance: float = 1e-6,
        timeout_s: float = 60.0,
        progress: Callable[[dict[str, Any]], object] | None = None,
    ) -> dict[str, Any]:
        arrival = Arrival(self.address, positions, tolerance, timeout_s, progress)
        with suppress(NotPermitted):
            arrival.know(description_of(await self.info(), None, self.address))
        begun = time.monotonic()
        try:
            request = self._requests.of(commands.SET, positions)
            request.read(await self._exchange(request, arrival.timeout_s, until_broken=True))
        except ConnectionBroke:
            pass  # whether it moves nobody knows: looks will tell
        except RequestTimeout as error:
            if error.reason is not None:
                raise
            raise arrival.unanswered(await self.get()) from error
        while True:
            data = await self.get()
            pause_s = arrival.look(data, time.monotonic() - begun)
            if pause_s is None:
                return data
            await asyncio.sleep(pause_s)

    @as_of_client
    async def halt(self, *, timeout_s: float | None = None) -> None:
        await self._ask(self._requests.halt, timeout_s)

    @as_of_client
    async def save(self, path: str | os.PathLike[str], *, timeout_s: float | None = None) -> None:
        await self._ask(self._requests.of(commands.SAVE, path), timeout_s)

    @as_of_client
    async def opt(self, data: Any, *, timeout_s: float | None = None) -> None:
        await self._ask(self._requests.of(commands.OPT, data), timeout_s)

    @as_of_client
    async def scan(self, data: Any, *, timeout_s: float | None = None) -> None:
        await self._ask(self._requests.of(commands.SCAN, data), timeout_s)

    @as_of_client
    async def set_actuators(self, actuators: Any, *, timeout_s: float | None = None) -> None:
        await self._ask(self._requests.of(commands.SET_ACT, actuators), timeout_s)

    @as_of_client
    async def set_diagnostics(self, diagnostics: Any, *, timeout_s: float | None = None) -> None:
        await self._ask(self._requests.of(commands.SET_DIAG, diagnostics), timeout_s)

    @as_of_client
    async def update_actuator_positions(
        self, actuators: Any, *, timeout_s: float | None = None
    ) -> None:
        await self._ask(self._requests.of(commands.UPDATE_ACTUATORS_POS, actuators), timeout_s)

    @as_of_client
    async def toggle_saving(self, on: bool, *, timeout_s: float | None = None) -> None:
        await self._ask(self._requests.of(commands.TOGGLE_SAVING, on), timeout_s)

    @as_of_client
    async def stop_server(self, *, timeout_s: float | None = None) -> None:
        await self._ask(self._requests.of(commands.STOP), timeout_s)
        if self._pool is not None:
            self._pool.drop_idle()

    @as_of_client
    async def stats(self, *, timeout_s: float | None = None) -> dict[str, Any]:
        return await self._ask(self._requests.stats, timeout_s)

    @as_of_client
    async def request(
        self,
        cmd: str,
        payload: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Any:
        return await self._ask(self._requests.any(cmd, payload), timeout_s)

    @as_of_client
    async def describe(self, *, timeout_s: float | None = None) -> DeviceDescription:
        info = await self.info(timeout_s=timeout_s)
        data = None if is_described(info) else await self.get(timeout_s=timeout_s)
        return description_of(info, data, self.address)

    @as_of_client
    async def call(self, cmd: str, /, *, timeout_s: float | None = None, **arguments: Any) -> Any:
        return await self._ask(self._requests.call(cmd, arguments), timeout_s)

    # -- streams

    def subscribe(
        self,
        stream: str = "data",
        *,
        start: Start = "latest",
        latest_only: bool = False,
        credit_bytes: int = 16 << 20,
        timeout_s: float | None = None,
        name: str | None = None,
    ) -> AsyncSubscription:
        """Follow a stream: ``async with client.subscribe(...) as updates:``, or await it.

        The arguments are those of ``ClientLHC.subscribe``; RemoteError and RequestTimeout come when
        it begins.

        Raises:
            ClientClosed: the client is closed.
            TypeError, ValueError: ``start``, ``credit_bytes`` or ``name`` is none of these.
        """
        how = {"start": start, "latest_only": latest_only, "credit_bytes": credit_bytes}
        return AsyncSubscription(**self._following(stream, name, timeout_s, **how))

    @as_of_client
    def subscribe_packs(
        self,
        stream: str = "data",
        *,
        start: Start = "latest",
        credit_bytes: int = 16 << 20,
        timeout_s: float | None = None,
        name: str | None = None,
    ) -> AsyncPackSubscription:
        how = {"start": start, "latest_only": False, "credit_bytes": credit_bytes}
        return AsyncPackSubscription(**self._following(stream, name, timeout_s, **how))

    # -- the end

    async def close(self) -> None:
        """Close all connections; again does nothing. Requests under way raise ClientClosed."""
        if self._pool is not None:
            self._pool.close()
            await asyncio.sleep(0)  # for what a loop does by callbacks

    async def __aenter__(self) -> AsyncClientLHC:
        self._check_open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        pool = self._pool
        if pool is not None and not pool.closed:
            # Nobody waits for an answer any more: requests under way are collected with this.
            warnings.warn(f"{self!r} was not closed.", ResourceWarning, stacklevel=2, source=self)
            pool.close()

    # -- inside

    def _after_fork(self) -> None:
        pool = self._pool
        if pool is not None and not pool.closed:
            pool.leave()
            self._pool = AsyncPool(self.address, self._keys)

    async def _ask(self, request: Request[Answer], timeout_s: float | None) -> Answer:
        return request.read(await self._exchange(request, timeout_s))

    async def _exchange(
        self, request: Request[Any], timeout_s: float | None, *, until_broken: bool = False
    ) -> list[bytes]:
        """Send a request and return its reply's frames."""
        self._check_open()
        seconds = self._seconds(timeout_s)
        assert self._pool is not None
        try:
            return await self._pool.exchange(request.body, seconds, until_broken)
        except NoAnswer as error:
            raise RequestTimeout(request.cmd, self.address, seconds, error.reason) from None
