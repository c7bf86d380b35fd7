"""The live mapping from commands to handlers: ``server._handlers``."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping
from typing import Any


class HandlerTable(MutableMapping[Hashable, Callable[..., Any]]):
    """A dict of handlers that tells its owner of each change.

    A command is what the request's ``cmd`` decodes to: a str, or any other hashable JSON value.
    """

    def __init__(self, handlers: Mapping[str, Callable[..., Any]]) -> None:
        self._handlers: dict[Hashable, Callable[..., Any]] = {}
        self._handlers.update(handlers.items())
        self.on_change: Callable[[], None] = lambda: None

    def __getitem__(self, cmd: Hashable) -> Callable[..., Any]:
        return self._handlers[cmd]

    def __setitem__(self, cmd: Hashable, handler: Callable[..., Any]) -> None:
        if not callable(handler):
            raise TypeError(f"the handler of {cmd!r} must be callable, not {handler!r}")
        self._handlers[cmd] = handler
        self.on_change()

    def __delitem__(self, cmd: Hashable) -> None:
        del self._handlers[cmd]
        self.on_change()

    def __iter__(self) -> Iterator[Hashable]:
        # A copy: the ServerLHC thread may iterate while another thread registers.
        return iter(list(self._handlers))

    def __len__(self) -> int:
        return len(self._handlers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._handlers!r})"
