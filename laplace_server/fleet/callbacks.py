"""The two functions of a program that hear of its fleet."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from laplace_server.fleet.notices import Notice
from laplace_server.protocol import LOGGER_NAME
from laplace_server.wire.logs import Log

log = Log(LOGGER_NAME)

Callback = TypeVar("Callback", bound=Callable[..., Any])


class Callbacks(Generic[Callback]):
    """Set by any thread at any time."""

    def __init__(self) -> None:
        self._on_joined: Callback | None = None
        self._on_lost: Callback | None = None

    def set_on_joined(self, func: Callback | None) -> None:
        """Call this for who joins; raise TypeError where it cannot be called."""
        self._on_joined = _checked(func, "on_joined")

    def set_on_lost(self, func: Callback | None) -> None:
        """Call this for who is lost; raise TypeError where it cannot be called."""
        self._on_lost = _checked(func, "on_lost")

    def call(self, notice: Notice) -> object:
        """Call the one it is for, if it is set, and return what that returns."""
        func = self._on_joined if notice.joined else self._on_lost
        return None if func is None else func(notice.device)

    @contextlib.contextmanager
    def logged(self, notice: Notice, *kinds: type[BaseException]) -> Iterator[None]:
        """Write what a callback raises, of these kinds, to the log: the fleet goes on."""
        try:
            yield
        except kinds:
            name = "on_joined" if notice.joined else "on_lost"
            log.exception("Fleet: %s raised, for %s.", name, notice.device.address)


def _checked(func: Callback | None, name: str) -> Callback | None:
    if func is not None and not callable(func):
        raise TypeError(f"{name!r}: a callback must be callable or None, not {func!r}.")
    return func
