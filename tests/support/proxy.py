"""What stands between clients and servers: networks that fail, when a test says so, and zmq.proxy.

`Proxy` forwards TCP connections in a thread of its own. It may be a long path, throttle them, cut
them at any byte, freeze (they stay, nothing moves) and go away (they break, none is accepted).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import zmq
from support.peers import PATIENCE_S
from support.ports import HeldPort

_CHUNK = 16 * 1024
_LONG = 1024  # chunks on a long path


class Proxy:
    """In front of ``port`` of this machine, on a port of its own; clients use ``address``.

    ``delay_s``: what is sent arrives so much later, in either direction; ``most_on_the_way`` tells
    of how many bytes from the server that was true at once. ``bytes_per_s``: what passes in all,
    from the server. ``cut_after``: gives for each new connection how many bytes from the server
    pass before it breaks; None, any number.
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
        self.accepted = self.cuts = self.forwarded = self.most_on_the_way = 0
        self._behind = int(port)
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._moving: set[asyncio.Event] = set()  # one of each connection
        self._frozen = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self._held = HeldPort()  # it stays its own while it is away
        self.port = self._held.number
        self.come_back()
        self.address = f"tcp://127.0.0.1:{self.port}"

    # ---- what a test says

    def lead_to(self, port: str | int) -> None:
        """New connections go to another server."""
        self._behind = int(port)

    def freeze(self, *, new_ones: bool = True) -> None:
        """Forward nothing; what is sent waits, as far as buffers go. New ones are accepted.

        Without ``new_ones``, those work.
        """
        self._do(self._freeze(new_ones))

    def thaw(self) -> None:
        self._do(self._thaw())

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
            self._held.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- in its thread

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _freeze(self, new_ones: bool) -> None:
        self._frozen = new_ones
        for moving in self._moving:
            moving.clear()

    async def _thaw(self) -> None:
        self._frozen = False
        for moving in self._moving:
            moving.set()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", self.port)

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
        moving = asyncio.Event()
        if not self._frozen:
            moving.set()
        self._moving.add(moving)
        behind: asyncio.StreamWriter | None = None
        ways: list[asyncio.Task[Any]] = []
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                from_server, behind = await asyncio.open_connection("127.0.0.1", self._behind)
                self._writers.add(behind)
                ways = [
                    asyncio.ensure_future(self._forward(reader, behind, moving, None)),
                    asyncio.ensure_future(
                        self._forward(from_server, writer, moving, self.cut_after())
                    ),
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
            self._moving.discard(moving)
            self._tasks.discard(task)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        moving: asyncio.Event,
        limit: int | None,
    ) -> None:
        """One direction; ``limit`` is where it breaks. Only the server's has a rate."""
        from_server = writer.get_extra_info("sockname")[1] == self.port
        path = _Path(_LONG if self.delay_s else 1)
        receiving = asyncio.ensure_future(self._receive(reader, path, from_server))
        try:
            with contextlib.suppress(OSError):
                while data := await path.take():
                    if self.bytes_per_s is not None and from_server:
                        await asyncio.sleep(len(data) / self.bytes_per_s)
                    await moving.wait()
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
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    async def _receive(self, reader: asyncio.StreamReader, path: _Path, from_server: bool) -> None:
        data = b"..."
        while data:
            try:
                data = await reader.read(_CHUNK)
            except OSError:
                data = b""
            await path.put(data, self.delay_s)
            if from_server:
                self.most_on_the_way = max(self.most_on_the_way, path.size)


class _Path:
    """What is on its way in one direction, and when it is due; nothing is its end."""

    def __init__(self, chunks: int) -> None:
        self.size = 0
        self._chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(chunks)

    async def put(self, data: bytes, delay_s: float) -> None:
        await self._chunks.put((asyncio.get_running_loop().time() + delay_s, data))
        self.size += len(data)

    async def take(self) -> bytes:
        due, data = await self._chunks.get()
        wait_s = due - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        self.size -= len(data)
        return data


def _break(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@contextlib.contextmanager
def zmq_proxy(behind: Any) -> Iterator[str]:
    """A ``zmq.proxy`` in front of a server, or of an address; yields where clients connect to."""
    context = zmq.Context()
    front, back = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    for each in (front, back):
        each.linger = 0
    port = front.bind_to_random_port("tcp://127.0.0.1")
    back.connect(behind if isinstance(behind, str) else behind.address)

    def run() -> None:
        with contextlib.suppress(zmq.ContextTerminated):
            zmq.proxy(front, back)
        for each in (front, back):
            each.close()

    thread = threading.Thread(target=run, name="proxy")
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        context.term()
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the proxy has not ended"
