"""Waiting for what another thread does by itself and tells nobody."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from support.machine import within
from support.peers import PATIENCE_S

LIMIT_S = within(10)


def eventually(condition: Callable[[], Any], within_s: float = LIMIT_S) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> None:
    """Fail unless it comes true in time."""
    assert eventually(condition, seconds), f"not within {seconds:g} s: {what}"
