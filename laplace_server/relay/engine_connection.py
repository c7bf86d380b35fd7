"""What a subscription takes for the connection to a server, and leads to JetStream."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from laplace_server.client.asyncio.bell import Bell
from laplace_server.client.loop_thread import LoopThread
from laplace_server.client.stream_connection import BaseStreamConnection
from laplace_server.client.subscription_steps import Connect, State
from laplace_server.client.timed_queue import TimedQueue
from laplace_server.protocol import LOGGER_NAME
from laplace_server.relay.connection import EngineError
from laplace_server.relay.engine_reader import EngineReader, EngineStream
from laplace_server.relay.wire_messages import Message
from laplace_server.wire.logs import Log

log = Log(LOGGER_NAME)


class _Reading:
    """A reader at work in the thread of all who must not wait; made, used and ended by others.

    What it says of the connection is written there and read here.
    """

    connected = True
    """Whatever is wrong with the way to NATS, ``trouble`` says it better."""
    refused = False

    def __init__(
        self, stream: EngineStream, younger: bool, deliver: Callable[[Message], object]
    ) -> None:
        self.ready = self.broken = False
        self.trouble = ""
        self._stream = stream
        self._younger = younger
        self._deliver = deliver
        self._reader: EngineReader | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self._thread = LoopThread.enter(self)

    # ---- for the subscription

    def send(self, frames: Sequence[bytes]) -> bool:
        """Send the question, and credit after that."""
        self._thread.call(self._hear, frames[-1])
        return not self.broken

    def end(self) -> None:
        """End it; waits for nothing."""
        self._thread.call(self.finish)

    # ---- in the thread

    def finish(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
        elif not self._ended:
            self._thread.leave(self)
        self._ended = True

    def _hear(self, body: bytes) -> None:
        if self._reader is not None:
            self._reader.credit(body)
        elif not self._ended:
            self._reader = EngineReader(
                self._stream, body, self._younger, self._tell, "laplace-server reader"
            )
            self._task = asyncio.ensure_future(self._run(self._reader))
            # Where it is cancelled at once, nothing of ``_run`` is ever run.
            self._task.add_done_callback(self._over)

    def _tell(self, message: Message) -> None:
        self.ready = True
        self._deliver(message)

    async def _run(self, reader: EngineReader) -> None:
        try:
            await reader.run()
            self.trouble = "it was refused"
        except EngineError as error:
            self.trouble = str(error)
        except Exception as error:
            log.exception("A stream in NATS is read anew.")
            self.trouble = repr(error)

    def _over(self, task: asyncio.Task[None]) -> None:
        self.broken = True
        self._deliver([])
        self._thread.leave(self)


class _EngineConnection(BaseStreamConnection):
    """As a StreamConnection of the client, which this stands in for.

    Args:
        stream: what to read.
        question: what to ask for.
        younger: the subscription was there before the stream.
        incoming: where messages are put.
        numbers: of those; each is greater than those before.
    """

    _connection: _Reading

    def __init__(
        self,
        stream: EngineStream,
        question: Connect,
        younger: bool,
        incoming: deque[Any],
        numbers: Iterator[int],
    ) -> None:
        self._incoming = incoming
        self._numbers = numbers
        self._is_ended = False
        super().__init__(_Reading(stream, younger, self._put), question)

    def _put(self, message: Message) -> None:
        """Put a message there, in another thread than that which takes it; []: it is over."""
        if message and not self._is_ended:
            self._incoming.append((next(self._numbers), message))
        self._ring()

    def _ring(self) -> None:
        """Wake who waits, from any thread."""
        raise NotImplementedError

    def close(self, last_word: bytes | None = None) -> None:
        """Close it."""
        self._is_ended = True
        self._connection.end()


class EngineConnection(_EngineConnection):
    """For a subscription of a thread."""

    follow: Callable[[float, float, State], bool] | None = None

    def __init__(self, *arguments: Any) -> None:
        self._bell: TimedQueue[None] = TimedQueue()
        self._has_rung = False
        super().__init__(*arguments)

    def _ring(self) -> None:
        if not self._has_rung:
            self._has_rung = True
            self._bell.put(None)

    def receive(self, seconds: float, incoming: deque[Any]) -> bool:
        """Wait up to ``seconds`` until there is a message in ``incoming``."""
        self._has_rung = False
        if not (incoming or self._is_ended or self._connection.broken):
            with contextlib.suppress(queue.Empty):
                self._bell.get(seconds)
        return bool(incoming)

    def interrupt(self) -> None:
        """End the waiting of another thread, for good."""
        self._is_ended = True
        self._bell.put(None)

    def let_go(self) -> None:
        """Forget it in a forked child, which does not have the thread."""


class AsyncEngineConnection(_EngineConnection):
    """For a subscription of asyncio; made in its loop."""

    def __init__(self, *arguments: Any) -> None:
        self.bell = Bell()
        self._loop = asyncio.get_running_loop()
        super().__init__(*arguments)

    def _ring(self) -> None:
        self.bell.ring_from_thread(self._loop)

    def collect(self) -> bool:
        """Say whether there is a message."""
        return bool(self._incoming)

    def watch(self) -> None:
        """Have the bell ring for news, as it does anyway."""
