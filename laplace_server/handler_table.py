"""The live mapping from commands to handlers: ``server._handlers``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any


class HandlerTable(MutableMapping[str, Callable[..., Any]]):
    """A dict of handlers that tells its owner of each change."""

    def __init__(self, handlers: dict[str, Callable[..., Any]]) -> None:
        self._handlers = dict(handlers)
        self.on_change: Callable[[], None] = lambda: None

    def __getitem__(self, cmd: str) -> Callable[..., Any]:
        return self._handlers[cmd]

    def __setitem__(self, cmd: str, handler: Callable[..., Any]) -> None:
        if not isinstance(cmd, str) or not cmd:
            raise TypeError(f"a command is a non-empty str, not {cmd!r}")
        if not callable(handler):
            raise TypeError(f"the handler of {cmd!r} must be callable, not {handler!r}")
        self._handlers[cmd] = handler
        self.on_change()

    def __delitem__(self, cmd: str) -> None:
        del self._handlers[cmd]
        self.on_change()

    def __iter__(self) -> Iterator[str]:
        # A copy: the ServerLHC thread may iterate while another thread registers.
        return iter(list(self._handlers))

    def __len__(self) -> int:
        return len(self._handlers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._handlers!r})"
