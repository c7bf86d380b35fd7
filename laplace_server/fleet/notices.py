"""What a program is to be told of its fleet, until it takes it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from laplace_server.fleet.state import DeviceState


class Notice(NamedTuple):
    """A device has joined, or was lost."""

    joined: bool
    device: DeviceState


class Notices:
    """In the order they came. Two of a device wait at most, whatever the program is at.

    A device joins and is lost in turn; so of three the first two say nothing that the third does
    not, and are left out.
    """

    def __init__(self, ring: Callable[[], object]) -> None:
        self._ring = ring
        # Reentrant: a finalizer may clear it in the middle of any line here.
        self._lock = threading.RLock()
        self._waiting: list[Notice] = []

    def put(self, notice: Notice) -> None:
        """Add one, and ring: in the thread that calls this."""
        address = notice.device.address
        with self._lock:
            earlier = [each for each in self._waiting if each.device.address == address]
            if len(earlier) > 1:
                self._waiting = [each for each in self._waiting if each not in earlier]
            self._waiting.append(notice)
        self._ring()

    def take(self) -> Notice | None:
        """Take the first one; None where none waits."""
        with self._lock:
            return self._waiting.pop(0) if self._waiting else None

    def drop(self, address: str | None = None) -> None:
        """Forget those of a device that was removed, or all."""
        with self._lock:
            self._waiting = [
                each for each in self._waiting if address not in (None, each.device.address)
            ]
