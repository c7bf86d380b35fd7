"""A TCP proxy that does to connections what networks do, when a test says so.

It forwards bytes in a thread of its own. It may delay and throttle them, cut connections at any
byte, freeze (connections stay, nothing moves) and go away (connections break, none is accepted).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from raw_peers import PATIENCE_S

_CHUNK = 16 * 1024


class Proxy:
    """In front of ``port`` of this machine, on a port of its own; clients use ``address``.

    ``delay_s``: each chunk's way takes so much longer, in either direction. ``bytes_per_s``: what
    passes in all, from the server. ``cut_after``: gives for each new connection how many bytes
    from the server pass before it breaks; None, any number.
    """

    def __init__(
        self,
        port: str | int,
        *,
        delay_s: float = 0.0,
        bytes_per_s: float | None = None,
        cut_after: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.delay_s = delay_s
        self.bytes_per_s = bytes_per_s
        self.cut_after = cut_after
        self.accepted = self.cuts = self.forwarded = 0
        self._behind = int(port)
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self._moving: asyncio.Event = self._do(self._event())
        self.port = 0
        self.come_back()
        self.address = f"tcp://127.0.0.1:{self.port}"

    # ---- what a test says

    def lead_to(self, port: str | int) -> None:
        """New connections go to another server."""
        self._behind = int(port)

    def freeze(self) -> None:
        """Forward nothing; what is sent waits, as far as buffers go. New ones are accepted."""
        self._do(self._set_moving(False))

    def thaw(self) -> None:
        self._do(self._set_moving(True))

    def cut(self) -> None:
        """Break all connections, in the middle of whatever they carry."""
        self._do(self._cut())

    def go_away(self) -> None:
        """Break all connections and refuse new ones."""
        self._do(self._go_away())

    def come_back(self) -> None:
        if self._listener is None:
            self._listener = self._do(self._listen())

    def close(self) -> None:
        if not self._loop.is_closed():
            self._do(self._go_away())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_S)
            assert not self._thread.is_alive()
            self._loop.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- in its thread

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _event(self) -> asyncio.Event:
        event = asyncio.Event()
        event.set()
        return event

    async def _set_moving(self, moving: bool) -> None:
        if moving:
            self._moving.set()
        else:
            self._moving.clear()

    async def _listen(self) -> asyncio.Server:
        listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = listener.sockets[0].getsockname()[1]
        return listener

    async def _go_away(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._cut()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            _break(writer)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=PATIENCE_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.accepted += 1
        behind: asyncio.StreamWriter | None = None
        ways: list[asyncio.Task[Any]] = []
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                from_server, behind = await asyncio.open_connection("127.0.0.1", self._behind)
                self._writers.add(behind)
                ways = [
                    asyncio.ensure_future(self._forward(reader, behind, None)),
                    asyncio.ensure_future(self._forward(from_server, writer, self.cut_after())),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for each in (writer, behind):
                if each is not None:
                    if not each.is_closing():
                        _break(each)
                    self._writers.discard(each)
            self._tasks.discard(task)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None
    ) -> None:
        """One direction; ``limit`` is where it breaks. Only the server's has a rate."""
        from_server = writer.get_extra_info("sockname")[1] == self.port
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.bytes_per_s is not None and from_server:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                await self._moving.wait()
                if limit is not None:
                    data = data[:limit]
                    limit -= len(data)
                writer.write(data)
                await writer.drain()
                self.forwarded += len(data)
                if limit == 0:
                    self.cuts += 1
                    writer.close()  # behind the last byte
                    return


def _break(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
