"""Run coroutines as programs do, in each kind of event loop that clients meet."""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio import proactor_events
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Proactor:
    """Receives and sends as that of Windows does: beside whoever asks, into memory given before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def recv_into(self, connection: socket.socket, room: bytearray) -> asyncio.Task[int]:
        return self._loop.create_task(self._loop.sock_recv_into(connection, room))

    def send(self, connection: socket.socket, data: bytes) -> asyncio.Task[int]:
        async def send() -> int:
            await self._loop.sock_sendall(connection, data)
            return len(data)

        return self._loop.create_task(send())


class WithoutWatching(asyncio.SelectorEventLoop):
    """Watches no descriptors for others, and has the transports of the usual loop on Windows."""

    add_reader = asyncio.AbstractEventLoop.add_reader  # type: ignore[assignment]
    add_writer = asyncio.AbstractEventLoop.add_writer  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self._proactor = _Proactor(self)

    def _make_socket_transport(self, *arguments: Any, **options: Any) -> Any:
        return proactor_events._ProactorSocketTransport(self, *arguments, **options)


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "watching": asyncio.SelectorEventLoop,
    "transports": WithoutWatching if sys.platform != "win32" else asyncio.ProactorEventLoop,
}

factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop


def new_event_loop() -> asyncio.AbstractEventLoop:
    """One of the kind that the test is about (the fixture ``each_loop``), or the usual one."""
    return factory()


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """``asyncio.run`` with such a loop."""
    loop = new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        try:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
