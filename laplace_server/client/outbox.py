"""What becomes of calls, told from the thread that carries them out to one that must not wait."""

from __future__ import annotations

import enum
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from laplace_server.client.calls import Call

__all__ = ["News", "Outbox", "Told"]


class News(enum.Enum):
    """What there is to tell of a call; all but PROGRESS is its end."""

    PROGRESS = enum.auto()
    ANSWERED = enum.auto()
    FAILED = enum.auto()
    CANCELLED = enum.auto()


class Told(NamedTuple):
    """One piece of news."""

    call: Call
    news: News
    value: Any = None
    """PROGRESS: the data; ANSWERED: what the method returns; FAILED: what it raises."""


class Outbox:
    """News in order, until the receiver takes them one by one.

    Each call has at most one PROGRESS in it, the newest, and one end: so it holds no more than the
    receiver has calls. It rings once, and again after ``take`` has said that there is nothing.

    Args:
        ring: called in any thread; it must not call back.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._news: deque[Told] = deque()
        self._newest: dict[Call, Any] = {}  # of those that have a PROGRESS among the news
        self._rung = False

    def put(self, told: Told) -> None:
        """Lay down news, in any thread."""
        with self._lock:
            if told.news is News.PROGRESS:
                waits = told.call in self._newest
                self._newest[told.call] = told.value
                if waits:
                    return
            self._news.append(told)
            rung, self._rung = self._rung, True
        if not rung:
            self._ring()

    def take(self) -> Told | None:
        """Take the next; None: there is none, and it will ring when there is."""
        with self._lock:
            if not self._news:
                self._rung = False
                return None
            told = self._news.popleft()
            if told.news is News.PROGRESS:
                told = told._replace(value=self._newest.pop(told.call))
            return told
