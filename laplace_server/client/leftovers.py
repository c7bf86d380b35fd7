"""Updates that a ``take`` has already, and has not returned."""

from __future__ import annotations

import collections
import operator
from collections.abc import Iterable, Iterator
from typing import Any


class Leftovers:
    """They come before all others; whoever iterates takes them, in C as those of a message.

    A ``take`` adds what it gets here, and lets go of it as it returns. So it has nothing to do
    where an exception out of a signal handler ends it: another may come before it could.
    """

    def __init__(self, updates: Iterable[Any] = ()) -> None:
        self.updates = list(updates)
        """For a ``take`` to add to, before anybody iterates, or to empty."""
        self._untaken = iter(self.updates)

    def __iter__(self) -> Iterator[Any]:
        return self._untaken

    def count(self) -> int:
        """Return how many are left."""
        return operator.length_hint(self._untaken)

    def rest(self) -> list[Any]:
        """Return those that are left; they stay."""
        return self.updates[len(self.updates) - self.count() :]

    def put_back(self, update: Any) -> None:
        """Take back the one that was taken last."""
        self.updates = [update, *self._untaken]
        self._untaken = iter(self.updates)

    def drop(self) -> None:
        """Come to the end: what is left is not taken any more."""
        collections.deque(self._untaken, 0)
