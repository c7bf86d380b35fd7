"""Why a request had no answer."""

from __future__ import annotations

from typing import Protocol

from laplace_server.client import names

# An attempt to connect that the deadline has cut shorter tells less than the one before.
SHORT_S = 0.1


class NoAnswer(Exception):
    """Within the time allowed. ``reason`` says why, where that is known."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason)
        self.reason = reason


class ConnectionBroke(Exception):
    """After a request was sent: whether it has run nobody knows."""


def all_in_use(count: int) -> str:
    """Return the reason of a request that waited for a connection in vain."""
    return f"other requests were using all {count} connections of this client"


class Attempt(Protocol):
    """A connection, however it waits."""

    @property
    def connected(self) -> bool:
        """Somebody took it."""

    @property
    def refused(self) -> bool:
        """It broke before."""

    @property
    def broken(self) -> bool:
        """No more will come."""

    @property
    def trouble(self) -> str:
        """Why, in words for a person."""


def trouble_of(connection: Attempt, before: str, seconds: float) -> str:
    """Say why a connection did not come to the end of its handshake in so many seconds.

    ``before``: what it was at the attempt before.
    """
    if before and not connection.broken and seconds < SHORT_S:
        return before
    if connection.refused:
        return names.NOBODY
    if connection.broken:
        return connection.trouble
    return names.SILENT if connection.connected else before or names.NO_CONNECTION
