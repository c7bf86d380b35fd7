"""A thread with an event loop of asyncio, for all who must not wait themselves.

There is one at a time. It begins with its first member and ends with the last; what a member does
in it waits for nothing but asyncio, so thousands of requests that hang hold up nobody.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol

from laplace_server.errors import ClientClosed
from laplace_server.wire.stacks import large_stacks

__all__ = ["LoopThread", "Member"]

_EXIT_PATIENCE_S = 3.0


class Member(Protocol):
    """Who uses the thread."""

    def finish(self) -> None:
        """Begin to end, and leave at the end of that. Called in the loop."""


class LoopThread(threading.Thread):
    """The thread; ``enter`` gives the one there is, or a new one."""

    def __init__(self) -> None:
        # A daemon, so that a program that forgets it can end; _end() waits for it then.
        super().__init__(name="client bridges", daemon=True)
        self._process = os.getpid()
        self._loop = _new_loop()
        self._members: set[Member] = set()

    @staticmethod
    def enter(member: Member) -> LoopThread:
        """Have a member in, until it calls ``leave``.

        Raises:
            RuntimeError, OSError: the system has no threads or descriptors left.
        """
        with _shared.lock:
            thread = _shared.thread
            if thread is None:
                thread = LoopThread()
                thread._begin()
                _shared.thread = thread
            thread._members.add(member)
            return thread

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have a function called in the loop soon; calls keep their order.

        From any thread, also by the garbage collector anywhere: it takes no lock. In a forked
        child, and when the thread has ended, it does nothing.
        """
        if self._process == os.getpid():
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(function, *arguments)

    def call_here(self, function: Callable[..., object], *arguments: Any) -> None:
        """The same, for what somebody waits for.

        Raises:
            ClientClosed: in a forked child, which does not have this thread.
        """
        if self._process != os.getpid():
            raise ClientClosed(
                "A client's calls are carried out by the process that made the first."
            )
        self.call(function, *arguments)

    def leave(self, member: Member) -> None:
        """Let a member go, and end with the last one. Called in the loop."""
        with _shared.lock:
            self._members.discard(member)
            if self._members:
                return
            _shared.forget(self)
        self._loop.stop()

    def finish(self) -> None:
        """Have all members end. Called in the loop."""
        for member in list(self._members):
            member.finish()

    def run(self) -> None:
        """Run the loop. Called by ``enter`` in a thread of its own."""
        loop = self._loop
        try:
            loop.run_forever()
            tasks = asyncio.all_tasks(loop)  # such as of connections that are closing
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.wait(tasks))
        finally:
            with _shared.lock:
                _shared.forget(self)  # where something has gone wrong, there may be another
            loop.close()

    def _begin(self) -> None:
        try:
            with large_stacks():
                self.start()
        except BaseException:
            self._loop.close()
            raise


class _Shared:
    """The thread there is, and who may say which that is."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Forget the parent's thread in a forked child, where its lock may be held for ever."""
        self.lock = threading.Lock()
        self.thread: LoopThread | None = None

    def forget(self, thread: LoopThread) -> None:
        """Let the next member begin another. Called with the lock held."""
        if self.thread is thread:
            self.thread = None


def _new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop of the usual kind, whatever policy the program has set for its own."""
    if sys.platform == "win32":
        return asyncio.ProactorEventLoop()
    return asyncio.SelectorEventLoop()


def _end() -> None:
    """Nobody is told anything any more while Python ends."""
    thread = _shared.thread
    if thread is not None:
        thread.call(thread.finish)
        with contextlib.suppress(RuntimeError):
            thread.join(_EXIT_PATIENCE_S)


_shared = _Shared()
atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.renew)
