"""A connection whose descriptor a loop watches, as those of almost all systems can."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from laplace_server.client import _frames
from laplace_server.client.asyncio.bell import Bell
from laplace_server.client.asyncio.inbox import MOST_MESSAGES, Inbox, running_loop


class WatchedConnection:
    """A connection over which messages come into an inbox, while a task waits or before.

    Any loop that watches descriptors may wait for it, one at a time; in another it breaks. An
    exception out of a signal handler may end what happens here or in the loop at any point: each
    message comes into the inbox once, and none is sent in part.

    Raises:
        OSError: the system has no descriptors left.
    """

    def __init__(
        self,
        socket_type: int,
        host: str,
        port: int,
        keys: _frames.ClientKeys | None,
        inbox: Inbox,
        numbers: Iterator[int],
    ) -> None:
        """Begin to connect to a numeric address."""
        self.bell = Bell()
        """Rings when something has come, or has become of it."""
        self.inbox = inbox
        self.idle_since = 0.0
        self._numbers = numbers
        self._seen = (False, False, False)
        self._loop: asyncio.AbstractEventLoop | None = None  # that watches it
        self._reads = self._writes = self._ended = False
        self._process = os.getpid()
        self._connection = connection = _frames.Connection(socket_type, host, port, keys)
        self._receive = partial(connection.receive, 0.0)

    # ---- what becomes of it

    @property
    def connected(self) -> bool:
        """Whether somebody took it."""
        return self._connection.connected

    @property
    def ready(self) -> bool:
        """Whether the handshake is over."""
        return self._connection.ready

    @property
    def broken(self) -> bool:
        """Whether no more will come than is in the inbox."""
        return self._connection.broken

    @property
    def refused(self) -> bool:
        """Whether it broke before anybody took it."""
        return self._connection.refused

    @property
    def trouble(self) -> str:
        """Why it is broken, for a person."""
        return self._connection.trouble

    @property
    def unsent(self) -> int:
        """Bytes of messages that have not left."""
        return self._connection.unsent

    # ---- messages

    def send(self, frames: Sequence[bytes]) -> bool:
        """Send without waiting; False: it is broken. What has no room leaves while a task waits."""
        return self._connection.send(frames)

    def collect(self) -> bool:
        """Put what has come into the inbox; say whether there is something in it."""
        # One call receives messages, numbers them and puts them there: Python runs signal handlers
        # before or after it. A number may be left out.
        inbox = self.inbox
        messages = itertools.islice(iter(self._receive, None), max(0, MOST_MESSAGES - len(inbox)))
        inbox.extend(zip(self._numbers, messages, strict=False))
        return bool(inbox)

    def watch(self) -> None:
        """Have the bell ring for news from now on, where ``collect`` has just found nothing."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._watch_no_more()
            self._loop = loop
            if not watches(loop):
                self._connection.close()
        connection = self._connection
        if self._ended or connection.broken:
            return
        if not self._reads:
            _add(loop.add_reader, loop.remove_reader, connection.fileno(), self._news)
            self._reads = True
        if not self._writes and self._must_write():
            _add(loop.add_writer, loop.remove_writer, connection.fileno(), self._news)
            self._writes = True

    def close(self, linger_s: float = 0.0) -> None:
        """Let go of it, soon where its loop runs in another thread.

        Nobody waits for what the network has not taken: that is given up.
        """
        self._ended = True
        loop = self._loop_of_another_thread()
        if loop is None:
            self._end(linger_s)
        else:
            with contextlib.suppress(RuntimeError):  # it has ended before
                loop.call_soon_threadsafe(self._end, linger_s)

    def _loop_of_another_thread(self) -> asyncio.AbstractEventLoop | None:
        loop = self._loop
        if loop is None or loop is running_loop() or self._process != os.getpid():
            return None
        return loop if loop.is_running() else None

    # ---- in the loop

    def _end(self, linger_s: float = 0.0) -> None:
        self._watch_no_more()
        connection = self._connection
        connection.close(0.0 if connection.unsent else linger_s)

    def _must_write(self) -> bool:
        connection = self._connection
        return not connection.connected or (connection.ready and connection.unsent > 0)

    def _watch_no_more(self) -> None:
        """Also what an exception has kept from being noted."""
        self._reads = self._writes = False
        loop = self._loop
        # A forked child shares the system's list of what the loop watches with its parent.
        if loop is None or loop.is_closed() or self._process != os.getpid():
            return
        descriptor = self._connection.fileno()
        if descriptor >= 0:
            loop.remove_reader(descriptor)
            loop.remove_writer(descriptor)

    def _news(self) -> None:
        """It can be read or written."""
        if self._ended:  # and an exception has kept it from being closed
            self._end()
            return
        if len(self.inbox) >= MOST_MESSAGES:  # no more is received until somebody waits
            self._watch_no_more()
            return
        if self.collect():
            self.bell.ring()
            if not self._writes:
                return
        connection = self._connection
        if connection.broken:
            self._watch_no_more()
        elif self._writes and not self._must_write():
            self._writes = False
            if self._loop is not None:
                self._loop.remove_writer(connection.fileno())
        seen = connection.connected, connection.ready, connection.unsent == 0
        if seen != self._seen or connection.broken:
            self._seen = seen
            self.bell.ring()


def watches(loop: asyncio.AbstractEventLoop) -> bool:
    """Say whether a loop watches descriptors; the usual one on Windows does not."""
    return getattr(type(loop), "add_reader", None) is not asyncio.AbstractEventLoop.add_reader


def _add(
    add: Callable[..., Any],
    remove: Callable[[int], Any],
    descriptor: int,
    callback: Callable[[], None],
) -> None:
    """Have a loop watch a descriptor."""
    try:
        add(descriptor, callback)
    except FileNotFoundError:
        # An exception out of a signal handler has kept it from the system's list, and not from the
        # loop's own.
        remove(descriptor)
        add(descriptor, callback)
