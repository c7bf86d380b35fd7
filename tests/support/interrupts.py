"""An exception out of a signal handler, at a line of one's choice."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


class Interrupt(Exception):
    """Out of a signal handler."""


_PACKAGE = f"{os.sep}laplace_server{os.sep}"


def interrupted(work: Callable[[], Any], line: int) -> None:
    """Do it up to a line of the package, or to its end."""
    passed = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal passed
        if _PACKAGE not in frame.f_code.co_filename:
            return None
        if event == "line":
            passed += 1
            if passed == line:
                raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except Interrupt:
        pass
    finally:
        sys.settrace(before)
