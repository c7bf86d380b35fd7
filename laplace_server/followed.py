"""What a subscription knows of itself, however it waits."""

from __future__ import annotations

import os

from laplace_server import forked_clients
from laplace_server.errors import ClientClosed
from laplace_server.follower import EndedEpoch, Follower, State
from laplace_server.names import Found, Place
from laplace_server.not_copied import NotCopied
from laplace_server.stream_connection import Watched


class Followed(NotCopied):
    """A subscription's properties; any thread may look at them."""

    _closed = True  # for __del__, until there is something to close

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._process = os.getpid()
        self._place = Place(follower.address)
        # Why nobody is there, as of the last attempt; "" where somebody was, or none was made.
        self._trouble = ""
        forked_clients.register(self)

    @property
    def stream(self) -> str:
        """Its name."""
        return self._follower.stream

    @property
    def epoch(self) -> int:
        """Which life of the server the next update comes from, as far as is known."""
        return self._follower.epoch

    @property
    def lost(self) -> int:
        """Updates lost so far, in all epochs; with ``latest_only``, skipped.

        Those are the ``lost_before`` of all updates, and what was missing where an epoch ended.
        """
        return self._follower.lost

    @property
    def lag(self) -> int:
        """Updates that were published but not taken from here, as of the last message."""
        return self._follower.lag

    @property
    def ended(self) -> tuple[EndedEpoch, ...]:
        """The last 100 lives of the server that are over, oldest first, with their ledgers."""
        return self._follower.ended

    @property
    def server_ended(self) -> bool:
        """True while the server has said that it stops, and no other has come in its place."""
        return self._follower.server_ended

    @property
    def closed(self) -> bool:
        """True once ``close()`` has been called."""
        return self._closed

    # ---- for those who wait

    def _gone(self, connection: Watched, now: float) -> None:
        """A connection is broken, or was never made."""
        elsewhere = False
        if self._follower.state is State.ASKING:
            self._trouble = connection.trouble(self._trouble) or ""
            elsewhere = bool(self._trouble) and self._place.failed(connection.endpoint)
        self._follower.gone(now, elsewhere)

    def _take_found(self, found: Found, now: float) -> None:
        """Take what a search has found."""
        if self._place.take(found) is None:
            self._trouble = found.problem
            self._follower.nobody(now)

    def _why_nobody(self, connection: Watched | None, searching: bool) -> str | None:
        """Say why SUBSCRIBE could not be sent; None where somebody has it."""
        if connection is not None and self._follower.state is State.ASKING:
            return connection.trouble(self._trouble)
        return self._trouble or (self._place.pending if searching else None)

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise ClientClosed(
                f"{self!r} was made before this process was forked, and is its parent's. "
                "Subscribe anew here."
            )

    def _after_fork(self) -> None:
        raise NotImplementedError
