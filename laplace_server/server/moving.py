"""What "moving" of the data says, where the program tells when moves begin and end.

The key is called so unless the device describes another. A client that asks right after SET must
not see the device at rest because the program has not set data since. So from ``begin_move`` on the
data says so itself, whatever ``set_data`` says.
"""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType
from typing import Any

from laplace_server.server._core import Documents
from laplace_server.server.described import Described


class Moving:
    """The moves of one server that have begun and not ended."""

    def __init__(self, documents: Documents, described: Described) -> None:
        self.lock = threading.RLock()
        """Held while data is set, so that none from before a move shows after it has begun."""
        self.told = False
        """Whether the program tells of its moves: the data has the key from the first one on."""
        self._documents = documents
        self._described = described
        self._moves: set[Move] = set()
        _all.add(self)

    def begin(self) -> Move:
        """Show that a move has begun."""
        move = Move(self)
        with self.lock:
            self.told = True
            self._moves.add(move)
            if len(self._moves) == 1:
                self.show()
        return move

    def end(self, move: Move) -> None:
        """Show that this move has ended; others go on."""
        with self.lock:
            if move in self._moves:
                self._moves.remove(move)
                if not self._moves:
                    self.show()

    def end_all(self) -> None:
        """Show that nothing moves."""
        with self.lock:
            if self._moves:
                self._moves.clear()
                self.show()

    def shown(self, data: Any) -> Any:
        """Return what to show in the place of data that the program sets. The lock is held."""
        key = self._described.moving_key
        if not isinstance(data, dict) or (key in data and not self._moves):
            return data
        return {**data, key: self._like(data.get(key))}

    def show(self) -> None:
        """Have the data that is there say whether anything moves."""
        with self.lock:
            data, key = self._documents.read_data(), self._described.moving_key
            self._documents.set_data({**data, key: self._like(data.get(key))})

    def _like(self, was: Any) -> bool | list[bool]:
        """Whether anything moves; for each axis where the program's own word is a list."""
        moving = bool(self._moves)
        return [moving] * len(was) if isinstance(was, list) else moving


class Move:
    """A move that has begun: ``end()`` ends it, and so does the end of a ``with`` block."""

    def __init__(self, moving: Moving) -> None:
        self._moving = moving

    def end(self) -> None:
        """Tell clients that this move is over, from any thread; again does nothing.

        First set the data that shows where the device has arrived.
        """
        self._moving.end(self)

    def __enter__(self) -> Move:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()


_all: weakref.WeakSet[Moving] = weakref.WeakSet()


def _unlock() -> None:
    """In a forked child: set_data must say that it does not work there, and not wait for ever."""
    for moving in list(_all):
        moving.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
