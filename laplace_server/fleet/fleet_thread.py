"""A thread with an event loop of its own, in which a fleet's devices are followed."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from laplace_server.client import forked_clients
from laplace_server.errors import ClientClosed
from laplace_server.fleet.following import Following
from laplace_server.protocol import LOGGER_NAME
from laplace_server.wire.logs import Log
from laplace_server.wire.stacks import large_stacks

log = Log(LOGGER_NAME)

Result = TypeVar("Result")

_EXIT_PATIENCE_S = 3.0


class FleetThread(threading.Thread):
    """Follows from ``start()`` to ``end()``. It runs nothing of the program's that could block."""

    def __init__(self, following: Following) -> None:
        # A daemon, so that a program that forgets it can end; _end_all() waits for it then.
        super().__init__(name="fleet", daemon=True)
        self.following = following
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._ending = False
        self._begun: Future[None] = Future()
        # For what is called while the thread does not run. The thread itself never takes it: who
        # holds it may be interrupted by a signal handler that closes the fleet, and waits for the
        # thread. Reentrant, since such a handler may call something, too.
        self._lock = threading.RLock()
        self._calls: deque[Callable[[], None]] = deque()
        self._process = os.getpid()
        forked_clients.register(self)

    # ---- for others

    def start(self) -> None:
        """Begin, once only.

        Raises:
            ClientClosed: it was begun before, or is at its end.
            OSError: the system has no descriptors left.
        """
        with self._lock:
            self._check_process()
            if self._ending or self.ident is not None:
                raise ClientClosed("A fleet is started once, and not after its close.")
            with large_stacks():
                super().start()
            self._begun.result()

    def end(self) -> None:
        """End soon; waits for nothing. From any thread, any number of times."""
        if self._process != os.getpid():
            return  # a forked child has no such thread
        self._ending = True
        self._soon(self._stopping.set)

    @property
    def follows(self) -> bool:
        """Whether it has begun and was not told to end."""
        return self._process == os.getpid() and self.ident is not None and not self._ending

    def call(self, function: Callable[[], Result]) -> Result:
        """Call a function of ``following`` in the thread while it runs, else in this one."""
        self._check_process()
        if self is threading.current_thread():  # such as a program's log handler
            return function()
        if self._loop is None:
            with self._lock:
                if self._loop is None:
                    return function()
        answer: Future[Result] = Future()

        def run() -> None:
            try:
                answer.set_result(function())
            except BaseException as error:
                answer.set_exception(error)

        self._calls.append(run)
        self._soon(self._run_calls)
        if self._loop is None:  # it has ended meanwhile, and may not have seen this
            with self._lock:
                self._run_calls()
        return answer.result()

    def wait(self, coroutine: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Run a coroutine function in the thread, and wait for it.

        Raises:
            ClientClosed: the thread does not run.
            RuntimeError: this is the thread.
        """
        if self is threading.current_thread():
            raise RuntimeError(
                "wait() was called in the fleet's own thread, such as by a log handler: it would "
                "wait for itself. missing() returns at once."
            )
        answer: Future[Result] = Future()

        async def work() -> None:
            try:
                answer.set_result(await coroutine())
            except asyncio.CancelledError:
                answer.set_exception(ClientClosed("The fleet was closed meanwhile."))
                raise
            except Exception as error:
                answer.set_exception(error)

        def begin() -> asyncio.Task[None]:
            if self._loop is None:
                raise ClientClosed("The fleet is not started, or is closed.")
            return self._loop.create_task(work())

        task = self.call(begin)
        try:
            return answer.result()
        except BaseException:  # Ctrl-C
            self._soon(task.cancel)
            raise

    def wait_ended(self) -> None:
        """Wait for its end; not in the thread itself, as in a program's log handler."""
        if self.is_alive() and self is not threading.current_thread():
            self.join()

    def _soon(self, function: Callable[[], object]) -> None:
        """Have something called in the loop, if there is one."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended before
                loop.call_soon_threadsafe(function)

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise ClientClosed("A fleet is followed by the process that made it only.")

    def _after_fork(self) -> None:
        self._lock = threading.RLock()  # another thread of the parent may hold it

    # ---- the thread

    def run(self) -> None:
        """Follow. Called by ``start()`` in a thread of its own."""
        try:
            asyncio.run(self._follow())
        except BaseException as error:
            self._ending = True
            if self._begun.done():
                log.exception("The fleet's thread ends.")
            else:
                self._begun.set_exception(error)

    async def _follow(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._ending:  # and whoever said so may have seen no loop
            self._stopping.set()
        self.following.start()
        self._begun.set_result(None)
        try:
            await self._stopping.wait()
        finally:
            await self.following.close()
            self._ending = True
            self._run_calls()
            self._loop = None  # from here on, who calls something looks himself
            self._run_calls()
            await asyncio.sleep(0)  # what was asked just before is begun, and cancelled

    def _run_calls(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._calls.popleft()()


def _end_all() -> None:
    """Nothing is followed any more while Python ends."""
    threads = [each for each in threading.enumerate() if isinstance(each, FleetThread)]
    deadline = time.monotonic() + _EXIT_PATIENCE_S
    for thread in threads:
        thread.end()
    for thread in threads:
        with contextlib.suppress(RuntimeError):
            thread.join(max(0.0, deadline - time.monotonic()))


atexit.register(_end_all)
