"""A thread that calls a program's callbacks, which may take their time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from laplace_server.fleet.callbacks import Callbacks
from laplace_server.fleet.notices import Notices
from laplace_server.fleet.state import DeviceState
from laplace_server.wire.stacks import large_stacks

Callback = Callable[[DeviceState], object]

_END_S = 1.0
"""For a callback that runs at the end, in seconds."""


class Announcer(threading.Thread):
    """Calls them one after the other, from ``begin()`` to ``end()``."""

    def __init__(self) -> None:
        super().__init__(name="fleet callbacks", daemon=True)
        self.callbacks: Callbacks[Callback] = Callbacks()
        # Of which signal handlers and the garbage collector may ring, whatever they interrupt.
        self._news: SimpleQueue[None] = SimpleQueue()
        self._ending = False
        self._notices: Notices | None = None

    def begin(self, notices: Notices) -> None:
        """Take notices from now on."""
        self._notices = notices
        with large_stacks():
            super().start()

    def ring(self) -> None:
        """There is news."""
        self._news.put(None)

    def end(self) -> None:
        """Call nothing more."""
        self._ending = True
        self._news.put(None)

    def wait_ended(self) -> None:
        """Wait for a callback that runs, for a second at most; not in that callback itself."""
        if self.is_alive() and self is not threading.current_thread():
            self.join(_END_S)

    def run(self) -> None:
        """Call them. Called by ``begin()`` in a thread of its own."""
        assert self._notices is not None
        while True:
            self._news.get()
            if self._ending:
                return
            notice = self._notices.take()
            if notice is not None:
                # An exit would end this thread alone, and nobody would be told anything any more.
                with self.callbacks.logged(notice, BaseException):
                    self.callbacks.call(notice)
