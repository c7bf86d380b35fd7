"""Waiting until what goes on beside a scenario goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

from reliability.common.program import PATIENCE_S
from reliability.common.stage import Stage


def wait_until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until it comes true.

    Raises:
        AssertionError: it does not in that time.
    """
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience_s:g} s: {what}"
        time.sleep(0.01)


def flows(stage: Stage) -> None:
    """Wait until each witness has been answered some more requests.

    Raises:
        AssertionError, ProgramFault: they are not, or one has ended.
    """
    begin = stage.answered()
    wait_until(
        lambda: all(now > then + 5 for now, then in zip(stage.answered(), begin, strict=True)),
        "witnesses are answered again",
    )
