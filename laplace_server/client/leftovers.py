"""Updates that a ``take`` had already, and could not return."""

from __future__ import annotations

import collections
import operator
from collections.abc import Iterator

from laplace_server.client.updates import Update


class Leftovers:
    """They come before all others. Whoever iterates takes them: there is one iterator, of C, so no
    exception out of a signal handler comes between taking one and having it.
    """

    def __init__(self, updates: list[Update]) -> None:
        self._updates = iter(updates)

    def __iter__(self) -> Iterator[Update]:
        return self._updates

    def count(self) -> int:
        """Return how many are left."""
        return operator.length_hint(self._updates)

    def put_back(self, update: Update) -> None:
        """Take back the one that was taken last."""
        self._updates = iter([update, *self._updates])

    def drop(self) -> None:
        """Come to the end: what is left is not taken any more."""
        collections.deque(self._updates, 0)
