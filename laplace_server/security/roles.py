"""What a key permits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from laplace_server.wire.commands import ROLES as ROLES

NAME_OF_ANONYMOUS = "anonymous"
"""What the role of clients without a key is called, and they themselves."""

Role = Literal["view", "operate", "admin"] | frozenset[str]
"""One of ROLES, or the commands that are permitted, and no others."""


def checked_role(role: Any) -> Role:
    """Return a role; of any set or list of command names, a frozenset.

    Raises:
        TypeError, ValueError: it is none.
    """
    for known in ROLES:
        if role == known:
            return known  # type: ignore[return-value]
    if isinstance(role, str):
        raise ValueError(f"There is no role {role!r}: a role is {_choice()}.")
    if isinstance(role, (bytes, dict)) or not isinstance(role, Iterable):
        raise TypeError(
            f"A role is text or a set of command names, not {type(role).__name__}: {_choice()}."
        )
    commands = frozenset(role)
    if not commands:
        raise ValueError(f"A role without commands permits nothing: a role is {_choice()}.")
    for command in commands:
        if not isinstance(command, str):
            raise TypeError(f"The name of a command is text, not {type(command).__name__}.")
        if not command:
            raise ValueError("The name of a command is not empty.")
    return commands


def words_of(role: Role) -> str:
    """Return a role as people read it."""
    return role if isinstance(role, str) else ", ".join(sorted(role))


def _choice() -> str:
    return f"one of {', '.join(map(repr, ROLES))}, or a set of command names"
