"""Updates that a ``take`` has already, and could not return."""

from __future__ import annotations

import collections
import operator
from collections.abc import Iterator

from laplace_server.client.updates import Update


class Leftovers:
    """They come before all others; whoever iterates takes them, in C as those of a message."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        """For a ``take`` to add to, before anybody iterates."""
        self._untaken = iter(self.updates)

    def __iter__(self) -> Iterator[Update]:
        return self._untaken

    def count(self) -> int:
        """Return how many are left."""
        return operator.length_hint(self._untaken)

    def put_back(self, update: Update) -> None:
        """Take back the one that was taken last."""
        self._untaken = iter([update, *self._untaken])

    def drop(self) -> None:
        """Come to the end: what is left is not taken any more."""
        collections.deque(self._untaken, 0)
