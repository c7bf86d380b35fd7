"""The live mapping from commands to handlers: ``server._handlers``."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping
from typing import Any

from laplace_server.server.callbacks import checked_handler


class HandlerTable(MutableMapping[Hashable, Callable[..., Any]]):
    """A dict of handlers that tells its owner of each change.

    A command is what the request's ``cmd`` decodes to: a str, or any other hashable JSON value.
    ``builtin`` are the handlers whose work the loop may do by itself.
    """

    def __init__(
        self,
        handlers: Mapping[Any, Callable[..., Any]],
        builtin: Mapping[str, Callable[..., Any]],
    ) -> None:
        self.builtin = builtin
        self.on_change: Callable[[], None] = lambda: None
        self._handlers: dict[Hashable, Callable[..., Any]] = {
            cmd: checked_handler(handler, cmd) for cmd, handler in dict(handlers).items()
        }

    def is_builtin(self, cmd: str) -> bool:
        """Whether a command has the built-in handler."""
        return cmd in self.builtin and self._handlers.get(cmd) is self.builtin[cmd]

    def find(self, cmd: Any) -> Callable[..., Any] | None:
        """The handler of a command; None for an unknown one.

        Raises:
            TypeError: it is a list or an object, no key of any mapping.
        """
        return self._handlers.get(cmd)

    def __getitem__(self, cmd: Hashable) -> Callable[..., Any]:
        return self._handlers[cmd]

    def __setitem__(self, cmd: Hashable, handler: Callable[..., Any]) -> None:
        self._handlers[cmd] = checked_handler(handler, cmd)
        self.on_change()

    def __delitem__(self, cmd: Hashable) -> None:
        del self._handlers[cmd]
        self.on_change()

    def __ior__(self, handlers: Any) -> HandlerTable:  # type: ignore[misc, unused-ignore]
        self.update(handlers)
        return self

    def copy(self) -> dict[Hashable, Callable[..., Any]]:
        """As a dict, whose changes change nothing here."""
        return dict(self._handlers)

    def __or__(self, other: Any) -> Any:
        return self._handlers | dict(other)

    def __ror__(self, other: Any) -> Any:
        return dict(other) | self._handlers

    def __iter__(self) -> Iterator[Hashable]:
        # A copy: the ServerLHC thread may iterate while another thread registers.
        return iter(list(self._handlers))

    def __len__(self) -> int:
        return len(self._handlers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._handlers!r})"
