"""What a subscription knows of itself, however it waits."""

from __future__ import annotations

from laplace_server.follower import EndedEpoch, Follower
from laplace_server.not_copied import NotCopied


class Followed(NotCopied):
    """A subscription's properties; any thread may look at them."""

    _follower: Follower
    _closed = True  # for __del__, until there is something to close

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
