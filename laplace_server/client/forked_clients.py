"""A forked child must not touch the sockets of its parent."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """What has connections."""

    def _after_fork(self) -> None:
        """Let go of them in a child; called before anything else runs there."""


_everyone: weakref.WeakSet[Forked] = weakref.WeakSet()


def register(one: Forked) -> None:
    """Tell ``one`` when it finds itself in a forked child, for as long as it lives."""
    _everyone.add(one)


def _tell() -> None:
    for one in list(_everyone):
        one._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tell)
