"""A queue to wait at for a time, by threads and signal handlers."""

from __future__ import annotations

import _thread
import contextlib
import queue
import time
from collections import deque
from typing import Generic, TypeVar

_T = TypeVar("_T")


class TimedQueue(Generic[_T]):
    """As ``queue.SimpleQueue``, reentrant like that, but its ``get`` ends when its time is over.

    Before Python 3.13, that of a SimpleQueue goes on for ever where the time is over when another
    thread has taken what it was woken for.
    """

    def __init__(self) -> None:
        self._items: deque[_T] = deque()
        # Taken, but when something was put. No signal handler finds it taken for good.
        self._bell = _thread.allocate_lock()
        self._bell.acquire()

    def put(self, item: _T) -> None:
        """Put it in; waits for nothing."""
        self._items.append(item)
        self._ring()

    def get(self, timeout: float) -> _T:
        """Take the first item.

        Raises:
            queue.Empty: there was none within this time, in seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(IndexError):
                item = self._items.popleft()
                if self._items:  # one ring may be for several
                    self._ring()
                return item
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not self._bell.acquire(timeout=remaining):
                raise queue.Empty

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # it rings already
            self._bell.release()
