"""An exception out of a signal handler, at a line of one's choice."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any


class Interrupt(Exception):
    """Out of a signal handler."""


_PACKAGE = f"{os.sep}laplace_server{os.sep}"


def interrupted(work: Callable[[], Any], line: int) -> None:
    """Do it, in a thread of its own, up to a line of the package, or to its end.

    A tracer, unlike a signal handler, may raise where an ``except`` block ends: CPython 3.12 then
    keeps that thread's exception as handled for ever, and each later one has it as its context.
    """
    with ThreadPoolExecutor(1) as threads:
        threads.submit(_traced, work, line).result()


def _traced(work: Callable[[], Any], line: int) -> None:
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

    sys.settrace(trace)
    try:
        work()
    except Interrupt:
        pass
    finally:
        sys.settrace(None)
