"""Who takes updates: one thread at a time, not twice, and nobody for ever."""

from __future__ import annotations

import contextlib
import sys
import threading
from types import CodeType


class Takers:
    """The threads in a method of an object; there is to be one at most.

    There is no lock: an exception out of a signal handler may come before one is let go, and the
    handler may itself be in the middle of the method. Whoever is found here is looked for in the
    method, therefore, before it counts.

    Args:
        code: of the method, whose first argument is called ``self``.
    """

    def __init__(self, code: CodeType) -> None:
        self._code = code
        self._entered: list[int] = []

    def enter(self, owner: object) -> None:
        """Called from within the method, which calls ``leave`` whatever happens.

        Raises:
            RuntimeError: there is another.
        """
        entered, ident = self._entered, threading.get_ident()
        entered.append(ident)
        # Who entered first goes on, however many try beside it.
        if (
            len(entered) > 1
            and self.count(owner) > 1
            and (entered[:1] != [ident] or entered.count(ident) > 1)
        ):
            raise RuntimeError("Another thread takes updates of this subscription.")

    def leave(self) -> None:
        ident = threading.get_ident()
        if ident in self._entered:
            self._entered.remove(ident)

    def count(self, owner: object) -> int:
        """Say how many are in the method; the others are forgotten."""
        entered = self._entered
        if not entered:
            return 0
        stacks = sys._current_frames()
        found = 0
        for ident in set(entered):
            inside = 0
            frame = stacks.get(ident)
            while frame is not None:
                if frame.f_code is self._code and frame.f_locals.get("self") is owner:
                    inside += 1
                frame = frame.f_back
            found += inside
            for _ in range(entered.count(ident) - inside):
                with contextlib.suppress(ValueError):
                    entered.remove(ident)
        return found
