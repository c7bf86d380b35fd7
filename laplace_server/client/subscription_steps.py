"""What a subscription's protocol asks for, and what it knows of a connection."""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

from laplace_server.client import names
from laplace_server.client.credit_window import Window

FIRST_RETRY_S = 0.1  # doubles while there is nobody
MOST_LATE_STEPS = 64  # of a wait whose time is over, where what comes is no update


class State(enum.Enum):
    """Of the present connection."""

    APART = "none, or one of no use"
    ASKING = "SUBSCRIBE is sent"
    FOLLOWING = "the server has granted it"


class Session:
    """A connection as the protocol sees it.

    Args:
        number: of the subscription on it.
        state: where it begins.
        window: what it begins with.
        endpoint: where it goes.
    """

    def __init__(self, number: int, state: State, window: Window, endpoint: str = "") -> None:
        self.number = number
        self.state = state
        self.endpoint = endpoint
        self.window = window
        self.granted = (window.messages, window.size)
        """Messages and bytes that the server may send in all, as it was told last."""
        self.must_answer = False
        self.begun_at = -math.inf
        """When the connection was begun."""
        self.asked_at = math.inf
        """Before this the server cannot have had the question."""
        self.due_at = math.inf
        """When something must have come."""
        self.doubted = False
        self.patience_until = math.inf
        """When somebody must have taken the connection."""
        self.taken = self.refused = self.broken = False
        self.useless = names.SILENT
        """Why nobody could be asked on it, though somebody took it; "" once somebody has been."""

    def trouble(self, before: str) -> str | None:
        """Say why nobody was asked; ``before``: what it was at the attempt before this one."""
        if self.taken:
            return self.useless or None
        return names.NOBODY if self.refused else before or names.NO_CONNECTION


class Connect(NamedTuple):
    """Open a connection in place of the one there was, say this first, and tell ``asked``."""

    endpoint: str
    body: bytes
    session: Session


class Send(NamedTuple):
    """Send this on the present connection, and tell ``sent``."""

    body: bytes
    granted: tuple[int, int]
    window: Window
    session: Session


class Search(NamedTuple):
    """Look up where ``place`` is, and tell ``searching``."""


SEARCH = Search()
