"""Stacks of threads where the system's default is smaller than Python counts on."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

STACK_BYTES = 8 << 20
"""As on other systems. Only what is used takes memory."""


def _is_musl() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        return not os.confstr("CS_GNU_LIBC_VERSION")
    except (OSError, ValueError):
        return True


SMALL = _is_musl()
"""musl gives a thread 128 KiB. Python's limits to recursion lie beyond: a callback that recurses,
or a nested message, would end the process."""


class _Lock:
    """Python has one size for all threads started from now on, so one at a time may change it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = threading.Lock()


_changing = _Lock()


@contextlib.contextmanager
def large_stacks() -> Iterator[None]:
    """Give threads started meanwhile a large stack, unless the program has chosen a size itself."""
    if not SMALL:
        yield
        return
    with _changing.lock:
        before = threading.stack_size(STACK_BYTES)
        if before:
            threading.stack_size(before)
        try:
            yield
        finally:
            threading.stack_size(before)
