"""Who is told of the changes of a ServerSecurity, in order."""

from __future__ import annotations

import weakref
from collections import deque
from typing import Protocol

from laplace_server.security.rights import Change


class Observer(Protocol):
    """Who is told of changes: a server."""

    def security_changed(self, change: Change) -> None:
        """Take notice, in the thread that has made the change and with the lock of all changes."""

    def security_failed(self, problem: Exception) -> None:
        """Take notice that something in the folder does not count, in the thread that looks."""

    def security_mended(self) -> None:
        """Take notice that all in the folder is right again, in the thread that looks."""


class Observers:
    """Those who are told, held weakly. Used with the lock of all changes."""

    def __init__(self) -> None:
        self._observers: list[weakref.ref[Observer]] = []
        self._untold: deque[Change] = deque()
        self._telling = False

    def add(self, observer: Observer) -> None:
        """Tell it, too."""
        there = [each for each in self._observers if each() is not None]
        self._observers = [*there, weakref.ref(observer)]

    def remove(self, observer: Observer) -> None:
        """Tell it no more."""
        self._observers = [
            each for each in self._observers if each() is not None and each() is not observer
        ]

    def present(self) -> list[Observer]:
        """Those that there are."""
        return [found for each in self._observers if (found := each()) is not None]

    def note(self, change: Change) -> None:
        """Have it told by the next ``tell``."""
        self._untold.append(change)

    def tell(self) -> None:
        """Tell them of all changes that were noted.

        Not where one of them has made the change: then whoever tells that one does it next. What
        one raises keeps no other from being told; the first exception comes out of this.
        """
        if self._telling:
            return
        self._telling = True
        first: BaseException | None = None
        try:
            while self._untold:
                change = self._untold.popleft()
                for observer in self.present():
                    try:
                        observer.security_changed(change)
                    except BaseException as problem:
                        first = first or problem
        finally:
            self._telling = False
        if first is not None:
            raise first
