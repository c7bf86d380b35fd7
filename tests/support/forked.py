"""A forked child that lives until it is told to end."""

from __future__ import annotations

import contextlib
import os
import select
import traceback
from collections.abc import Callable
from types import TracebackType

from support.peers import PATIENCE_S


class Forked:
    """Does ``work`` in a forked child, which then lives on; as a context, until its end.

    The block begins when the work is done. With an exception in the child, it fails.
    """

    def __init__(self, work: Callable[[], object] = lambda: None) -> None:
        done, tell_done = os.pipe()
        ended, self._tell_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            status = 1
            try:
                os.close(self._tell_end)  # with the parent, the child ends
                work()
                os.write(tell_done, b"1")
                os.read(ended, 1)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(tell_done)
        os.close(ended)
        try:
            ready = select.select([done], [], [], PATIENCE_S)[0]
            if not ready:
                os.kill(self._pid, 9)
            if not ready or not os.read(done, 1):
                self.close()
                raise AssertionError("the child hangs" if not ready else "the child failed")
        finally:
            os.close(done)

    def __enter__(self) -> Forked:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self.close() == 0 or error is not None

    def close(self) -> int:
        """End the child; its exit status. (Others may hold the pipe, so closing it is no word.)"""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._tell_end, b"1")
        os.close(self._tell_end)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
