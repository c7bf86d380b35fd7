"""What "moving" of the data says, where the program tells when moves begin and end.

The key is called so unless the device describes another. A client that asks right after SET must
not see the device at rest because the program has not set data since. So from ``begin_move`` on the
data says so itself, whatever ``set_data`` says.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from types import TracebackType
from typing import Any

from laplace_server.server._core import Documents
from laplace_server.server.described import Described
from laplace_server.wire.plain_values import simpler

_NOTHING = object()


class Moving:
    """The moves of one server that have begun and not ended."""

    def __init__(self, documents: Documents, described: Described) -> None:
        self.lock = threading.RLock()
        """Held while data is set, so that none from before a move shows after it has begun."""
        self.told = False
        """Whether the program tells of its moves: the data has the key from the first one on."""
        self._documents = documents
        self._described = described
        self._key = described.moving_key
        self._own: Any = _NOTHING
        """What the program itself says under the key, while a move goes on."""
        self._moves: set[Move] = set()
        _all.add(self)

    def begin(self) -> Move:
        """Show that a move has begun."""
        move = Move(self)
        with self.lock:
            self.told = True
            self._moves.add(move)
            if len(self._moves) == 1:
                self._own = self.show()
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

    def follow_description(self) -> None:
        """Say so under another key from now on, if another one is described.

        The key of before is the program's own again: as it has set it, or not there.
        """
        with self.lock:
            old, self._key = self._key, self._described.moving_key
            if not self.told or old == self._key:
                return
            was = data = self._documents.read_data()
            if self._moves:
                own = {} if self._own is _NOTHING else {old: self._own}
                data = {key: value for key, value in data.items() if key != old} | own
            data = self.shown(data)
            if data is not was:
                self._documents.set_data(data)

    def shown(self, data: Any) -> Any:
        """Return what to show in the place of data that the program sets. The lock is held."""
        key = self._key
        if not isinstance(data, dict) or (key in data and not self._moves):
            return data
        if self._moves:
            self._own = data.get(key, _NOTHING)
        return {**data, key: self._like(data.get(key))}

    def show(self) -> Any:
        """Have the data that is there say whether anything moves; returns what it has said."""
        with self.lock:
            data, key = self._documents.read_data(), self._key
            self._documents.set_data({**data, key: self._like(data.get(key))})
            if not self._moves:
                self._own = _NOTHING
            return data.get(key, _NOTHING)

    def _like(self, was: Any) -> Any:
        """Whether anything moves; for each axis where the program's own word is so."""
        moving = bool(self._moves)
        try:
            return _each(was, moving)
        except RecursionError:  # circular, so that it could not be sent either
            return moving


def _each(was: Any, moving: bool) -> Any:
    if was is None or isinstance(was, (str, int, float)):
        return moving
    if isinstance(was, dict):
        return {key: _each(value, moving) for key, value in list(was.items())}
    if isinstance(was, (list, tuple)):
        return [_each(value, moving) for value in list(was)]
    numpy = sys.modules.get("numpy")  # whoever has an array has imported it
    if numpy is not None and isinstance(was, numpy.ndarray) and was.ndim:
        return numpy.full(was.shape, moving)  # followers of the data get arrays as such
    try:
        simple = simpler(was)
    except TypeError:
        return moving
    return _each(simple, moving) if isinstance(simple, (dict, list)) else moving


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
