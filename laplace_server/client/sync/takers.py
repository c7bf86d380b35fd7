"""Who takes updates: one thread at a time, not twice, and nobody for ever."""

from __future__ import annotations

import contextlib
import sys
import threading
from types import CodeType, FrameType


def another_takes() -> RuntimeError:
    return RuntimeError("Another thread takes updates of this subscription.")


def calls(code: CodeType, owner: object) -> int:
    """Return how many calls of an object's method go on, in all threads."""
    return sum(_in_stack(frame, code, owner) for frame in sys._current_frames().values())


def _in_stack(frame: FrameType | None, code: CodeType, owner: object) -> int:
    found = 0
    while frame is not None:
        if frame.f_code is code and frame.f_locals.get("self") is owner:
            found += 1
        frame = frame.f_back
    return found


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
            raise another_takes()

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
            inside = _in_stack(stacks.get(ident), self._code, owner)
            found += inside
            for _ in range(entered.count(ident) - inside):
                with contextlib.suppress(ValueError):
                    entered.remove(ident)
        return found
