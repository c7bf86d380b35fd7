"""Callbacks and handlers: what is refused when it is set, and what one says when it fails."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import AsyncGeneratorType, CoroutineType
from typing import Any

Callback = Callable[..., Any]

_DEEPEST = 16  # wrappers around wrappers; some objects pretend to have one more for ever

_NO_LOOP = (
    "the server's thread calls it and has no event loop. Give a plain function that hands over to "
    "yours, such as: lambda *values: asyncio.run_coroutine_threadsafe(f(*values), loop)"
)


def checked_callback(func: Callback | None, name: str) -> Callback | None:
    """Return it.

    Raises:
        TypeError: neither callable nor None, or async.
    """
    if func is not None and not callable(func):
        raise TypeError(f"{name!r}: a callback must be callable or None, not {func!r}")
    refuse_async(func, name)
    return func


def refuse_async(func: Any, name: str) -> None:
    """Raise TypeError if a callback is async."""
    if is_async(func):
        raise TypeError(f"{name!r}: a callback must not be async: {_NO_LOOP}")


def checked_handler(handler: Callback, cmd: Any) -> Callback:
    """Return it.

    Raises:
        TypeError: not callable, or async.
    """
    if not callable(handler):
        raise TypeError(f"the handler of {cmd!r} must be callable, not {handler!r}")
    if is_async(handler):
        raise TypeError(f"the handler of {cmd!r} must not be async: {_NO_LOOP}")
    return handler


def is_async(func: Any) -> bool:
    """Say whether calling it only makes a coroutine.

    What a decorator has made of an ``async def`` (``__wrapped__``) is taken: most of those run it.
    """
    for _ in range(_DEEPEST):
        if inspect.iscoroutinefunction(func) or inspect.isasyncgenfunction(func):
            return True
        if isinstance(func, functools.partial):
            func = func.func
        elif inspect.ismethod(func) or isinstance(func, staticmethod):
            func = func.__func__
        elif callable(func) and not inspect.isroutine(func):
            func = type(func).__call__  # an object: what its class does when it is called
        else:
            return False
    return False


def refuse_coroutine(result: Any, what: str, name: Any) -> None:
    """Raise TypeError if a call has only made a coroutine: nobody would run it.

    ``what`` was called, with ``%`` for its name.
    """
    if isinstance(result, (CoroutineType, AsyncGeneratorType)):
        if isinstance(result, CoroutineType):
            result.close()
        raise TypeError(f"{what % (name,)} returned a coroutine: {_NO_LOOP}")


def text_of(problem: BaseException) -> str:
    """Name an exception's type and what it says of itself."""
    try:
        text = str(problem)
    except BaseException:
        text = "(it cannot be shown)"
    return f"{type(problem).__name__}: {text}"
