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

    def behind() -> list[str]:
        """Return the names of the witnesses that still wait."""
        counts = zip(stage.witnesses, stage.answered(), begin, strict=True)
        return [witness.name for witness, now, then in counts if now <= then + 5]

    try:
        wait_until(lambda: not behind(), "witnesses are answered again")
    except AssertionError as fault:
        raise AssertionError(f"{fault}; still waiting: {', '.join(behind())}") from None
