"""Finds the streams of a server, also those that come later."""

from __future__ import annotations

import threading
from collections.abc import Callable

import zmq

from laplace_server.client.starts import Start
from laplace_server.errors import LaplaceError
from laplace_server.recording.follower import Informant

_PERIOD_S = 2.0


class ServerWatch(threading.Thread):
    """Asks a server which streams it has, until ``end``, and then once more.

    Args:
        follow: called for each stream once, with where to begin: what is declared later is wanted
            from its first update on.
    """

    def __init__(
        self, informant: Informant, start: Start, follow: Callable[[Informant, str, Start], object]
    ) -> None:
        super().__init__(name="recorder streams", daemon=True)
        self.looked = threading.Event()
        """Set after the first look."""
        self.trouble: str | None = None
        """Why it does not answer; None: it does."""
        self._informant = informant
        self._start_at = start
        self._follow = follow
        self._found: set[str] = set()
        self._ending = threading.Event()

    @property
    def address(self) -> str:
        """Of the server."""
        return self._informant.client.address

    def end(self) -> None:
        """Look no more; waits for nothing."""
        self._ending.set()

    def run(self) -> None:
        """Look. Called by ``start()`` in a thread of its own."""
        ending = False
        while not ending or self.trouble is None:
            try:
                names = self._informant.client._stream_names()
            except (LaplaceError, zmq.ZMQError) as error:
                self.trouble = str(error)
            else:
                self.trouble = None
                for name in sorted(names - self._found):
                    self._follow(self._informant, name, self._start_at)
                self._found |= names
                self._start_at = "oldest"
            self.looked.set()
            if ending:
                return
            ending = self._ending.wait(_PERIOD_S)
