"""Where the messages of a connection wait for a task."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, TypeAlias

Inbox: TypeAlias = deque[Any]
"""Of pairs of a number, greater than those before, and a message's frames."""

MOST_MESSAGES = 16
"""In it while nobody takes them: no more are received then."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
