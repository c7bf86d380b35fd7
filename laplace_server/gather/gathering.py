"""A gathering for threads: an event loop in a thread of its own does the work."""

from __future__ import annotations

import _thread
import asyncio
import atexit
import contextlib
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from operator import itemgetter
from types import TracebackType

from laplace_server.client.asyncio.twins import twin_of
from laplace_server.client.stream_source import StreamSource
from laplace_server.client.subscription import deadline_of
from laplace_server.client.sync.opening import LONGEST_WAIT_S
from laplace_server.errors import ClientClosed
from laplace_server.gather.base import BaseGathering, Taken
from laplace_server.gather.gatherer import Gatherer
from laplace_server.gather.plan import Plan
from laplace_server.gather.record import Record
from laplace_server.wire.stacks import large_stacks

_EXIT_PATIENCE_S = 3.0


class _Bell:
    """Rings for one thread that waits; signal handlers may ring it, whatever they interrupt."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # it rings already
            self._lock.release()

    def wait(self, seconds: float) -> None:
        self._lock.acquire(timeout=seconds)


class _GatherThread(threading.Thread):
    """Gathers from ``start()`` to ``end()``; it refers to nobody who takes."""

    def __init__(self, plan: Plan, clients: dict[str, StreamSource]) -> None:
        # A daemon, so that a program that forgets it can end; _end_all() waits for it then.
        super().__init__(name="gather", daemon=True)
        self.bell = _Bell()
        self.gatherer = Gatherer(plan, self.bell.ring)
        self.has_begun = False
        self.failure: BaseException | None = None
        """Why it could not begin, or has ended."""
        self._clients = clients
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Task[None] | None = None
        self._ending = False

    def run(self) -> None:
        """Gather. Called by ``start()`` in a thread of its own."""
        try:
            asyncio.run(self._gather())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self.failure = error
        finally:
            self.bell.ring()

    async def _gather(self) -> None:
        self._work = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        if self._ending:  # and whoever said so has seen no loop
            return
        clients = {name: twin_of(each) for name, each in self._clients.items()}
        try:
            try:
                await self.gatherer.begin(clients)
            finally:
                for client in clients.values():
                    await client.close()
            self.has_begun = True
            self.bell.ring()
            await self._loop.create_future()  # until it is cancelled
        finally:
            await self.gatherer.end()

    def has_taken(self) -> None:
        """Something was taken from what is ready."""
        if self.gatherer.holds_up:
            self._call(self.gatherer.look)

    def end(self) -> None:
        """End soon; waits for nothing. From any thread and signal handler, any number of times."""
        self._ending = True
        self._call(self._cancel)
        self.bell.ring()

    def _cancel(self) -> None:
        """Cancel the work, in the loop; not again, while it comes to its end."""
        work, self._work = self._work, None
        if work is not None:
            work.cancel()

    def _call(self, work: Callable[[], object]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended before
                self._loop.call_soon_threadsafe(work)


class Gathering(BaseGathering):
    """An iterator over records; made by ``gather`` of sources for threads.

    It goes on whatever happens to its sources, and ends when it is closed, and not before. Threads
    may share it: each record goes to one of them. An exception out of a signal handler, such as
    Ctrl-C, leaves it usable and loses no record.
    """

    def __init__(self, plan: Plan) -> None:
        clients = {}
        for name, each in plan.sources.items():
            assert isinstance(each.client, StreamSource)
            clients[name] = each.client
        thread = _GatherThread(plan, clients)
        super().__init__(plan, thread.gatherer)
        self._thread = thread
        _everyone.add(thread)
        try:
            with large_stacks():
                thread.start()
            while not thread.has_begun:
                self._raise_problem()
                thread.bell.wait(LONGEST_WAIT_S)
        except BaseException:
            self.close()
            raise

    # ---- records

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        try:
            return self.next()
        except ClientClosed:
            if self._process != os.getpid():
                raise
            raise StopIteration from None

    def next(self, timeout: float | None = None) -> Record:
        """Return the next record, waiting for it up to ``timeout`` seconds; None: for ever.

        Raises:
            TimeoutError: none came in time; its text says which sources are not followed, and why.
            ClientClosed: it is closed, before or meanwhile, or was made before this process was
                forked.
            TypeError, ValueError: ``timeout`` is no number of seconds.
        """
        return self._take(timeout, 1)[0]

    def take(self, timeout: float | None = None) -> list[Record]:
        """Return all records that are there, in order; wait for one up to ``timeout`` seconds.

        There is one at least, and no more than are held: see ``max_held_bytes`` of ``gather``.

        Raises:
            TimeoutError, and all others: as ``next``.
        """
        return self._take(timeout, sys.maxsize)

    def _take(self, timeout: float | None, most: int) -> list[Record]:
        deadline = deadline_of(timeout)
        bell, taken = self._thread.bell, Taken()
        try:
            while True:
                self._check_open()
                self._take_into(taken, most)
                if taken:
                    break
                self._raise_problem()
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise self._none_in_time()
                bell.wait(min(remaining, LONGEST_WAIT_S))
            if self._ready:  # one ring may be for several who wait
                bell.ring()
            self._thread.has_taken()
            return list(map(itemgetter(0), taken))
        except BaseException:
            self._put_back(taken)
            bell.ring()
            raise

    def _raise_problem(self) -> None:
        problem = self._thread.failure or self._gatherer.problem
        if problem is not None:
            raise problem

    # ---- the end

    def close(self) -> None:
        """End it, from any thread, also in a signal handler; again does nothing.

        It waits for nothing. A thread that waits in ``next`` gets ClientClosed, one that iterates
        comes to the end; what was not taken is thrown away.
        """
        self._closed = True
        if self._process == os.getpid():
            self._thread.end()
            self._ready.clear()

    def __enter__(self) -> Gathering:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed and self._process == os.getpid():
            warnings.warn(f"{self!r} was not closed.", ResourceWarning, stacklevel=2, source=self)
            self.close()


_everyone: weakref.WeakSet[_GatherThread] = weakref.WeakSet()


def _end_all() -> None:
    """None works any more while Python ends."""
    threads = [each for each in _everyone if each.is_alive()]
    deadline = time.monotonic() + _EXIT_PATIENCE_S
    for thread in threads:
        thread.end()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


atexit.register(_end_all)
