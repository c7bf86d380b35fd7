"""What gatherings have in common, however they wait."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from itertools import repeat

from laplace_server.client.not_copied import NotCopied
from laplace_server.errors import ClientClosed
from laplace_server.gather.gatherer import Gatherer
from laplace_server.gather.plan import Plan
from laplace_server.gather.record import Record, SourceStats

Taken = list[tuple[Record, int]]
"""Records as they are in ``ready``."""


class BaseGathering(NotCopied):
    """Takes what a gatherer has laid down."""

    _closed = True  # for __del__, until there is something to close

    def __init__(self, plan: Plan, gatherer: Gatherer) -> None:
        self._plan = plan
        self._gatherer = gatherer
        self._ready = gatherer.ready
        self._process = os.getpid()
        self._closed = False

    @property
    def closed(self) -> bool:
        """True once ``close()`` has been called."""
        return self._closed

    def stats(self) -> dict[str, SourceStats]:
        """Return what became of each source's updates so far, by the names of the sources."""
        return self._gatherer.stats()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._plan}{' closed' if self._closed else ''}>"

    def _take_into(self, taken: Taken, most: int) -> None:
        """Take what is ready, in one step: signal handlers run before or after it.

        Whoever is interrupted afterwards puts it back.
        """
        with contextlib.suppress(IndexError):  # another thread takes, too
            taken.extend(map(deque.popleft, repeat(self._ready, min(most, len(self._ready)))))

    def _put_back(self, taken: Taken) -> None:
        if not self._closed:
            self._ready.extendleft(reversed(taken))

    def _check_open(self) -> None:
        if self._process != os.getpid():
            raise ClientClosed(f"{self!r} was made before this process was forked. Gather anew.")
        if self._closed:
            raise ClientClosed(f"{self!r} is closed.")

    def _none_in_time(self) -> TimeoutError:
        why = self._gatherer.troubles
        return TimeoutError(f"no record of {self._plan} in time{f': {why}' if why else ''}")
