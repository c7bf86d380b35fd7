"""Run coroutines as programs do, on every system."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """``asyncio.run``, on Windows with a loop that can watch sockets."""
    if sys.platform != "win32":
        return asyncio.run(coroutine)
    if sys.version_info >= (3, 12):
        return asyncio.run(coroutine, loop_factory=asyncio.SelectorEventLoop)
    asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    return asyncio.run(coroutine)
