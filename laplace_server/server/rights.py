"""Who may ask for what: roles as the core knows them, by number.

A number belongs to one role as long as the server lives; ``ANONYMOUS`` to whoever has no key,
whatever that permits.
"""

from __future__ import annotations

import json
from typing import Any, Final

from laplace_server.security.rights import Rights
from laplace_server.security.roles import NAME_OF_ANONYMOUS, Role, checked_role, words_of
from laplace_server.server._core import ANONYMOUS, MAX_ROLES
from laplace_server.wire.commands import ROLES, least_role

ALL_ROLES: Final = (1 << MAX_ROLES) - 1
_LONGEST_NAME = 64
_MARK = "\0"

assert ANONYMOUS == 0  # the roles of keys are numbered from 1 on


class RoleTable:
    """What roles permit at one moment; a change makes another one. Without rights: everything."""

    def __init__(self, rights: Rights | None, before: RoleTable | None = None) -> None:
        self.secured = rights is not None
        """Whether it is asked at all."""
        self._anonymous = None if rights is None else rights.anonymous
        self._roles: list[Role] = []
        self._names: dict[Role, str] = {}  # of those that a folder gives one
        if rights is None:
            return
        self._roles = [checked_role(role) for role in ROLES] if before is None else [*before._roles]
        named = {key.role: key.role_name for key in rights.keys.values() if key.role_name}
        self._names = named if before is None else {**before._names, **named}
        for key in rights.keys.values():
            if key.role not in self._roles and len(self._roles) < MAX_ROLES - 1:
                self._roles.append(key.role)

    def number_of(self, role: Role) -> int | None:
        """The number of a role that a key has; None: there are too many, and none is left."""
        return self._roles.index(role) + 1 if role in self._roles else None

    @property
    def admits_anonymous(self) -> bool:
        """Whether clients without a key may connect."""
        return not self.secured or self._anonymous is not None

    def permits(self, number: int, cmd: Any) -> bool:
        """Whether the role of that number may ask for a command, which may be any JSON value."""
        return not self.secured or _may(self._role(number), cmd)

    def mask(self, cmd: Any) -> int:
        """The roles that may ask for a command, a bit for each."""
        if not self.secured:
            return ALL_ROLES
        numbers = range(len(self._roles) + 1)
        return sum(1 << number for number in numbers if _may(self._role(number), cmd))

    def named_commands(self) -> set[str]:
        """The commands that sets name, whether or not anything answers them."""
        roles = (self._anonymous, *self._roles)
        return {cmd for role in roles if isinstance(role, frozenset) for cmd in role}

    def names(self) -> list[str]:
        """What the roles are called, by number; without security there are none."""
        if not self.secured:
            return []
        return [self.name_of(number) for number in range(len(self._roles) + 1)]

    def name_of(self, number: int) -> str:
        """What a role is called where people read it."""
        if number == ANONYMOUS:
            return NAME_OF_ANONYMOUS
        role = self._role(number)
        text = "unknown" if role is None else self._names.get(role) or words_of(role)
        return text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME] + "..."

    def for_table(self) -> dict[str, Any]:
        """What the core's table has beside the roles of each command it knows.

        "other": the roles that may ask for all other commands, "role_names": what roles are called,
        "denial": the pieces of the JSON text that says that a role does not permit a command,
        around both names.
        """
        text = json.dumps(not_permitted(_MARK, _MARK))
        before, between, after = text.split(json.dumps(_MARK)[1:-1])
        return {
            "other": self.mask(None),
            "role_names": [json.dumps(name)[1:-1].encode() for name in self.names()],
            "denial": (before.encode(), between.encode(), after.encode()),
        }

    def _role(self, number: int) -> Role | None:
        if number == ANONYMOUS:
            return self._anonymous
        return self._roles[number - 1] if number <= len(self._roles) else None


def not_permitted(role: str, cmd: Any) -> str:
    """What a client is told whose role does not permit a command."""
    what = f"'{cmd[:_LONGEST_NAME]}'" if isinstance(cmd, str) else "what is no name of a command"
    return f"not permitted: the role '{role}' may not use {what}"


def _may(role: Role | None, cmd: Any) -> bool:
    if role is None:
        return False
    if isinstance(role, frozenset):
        return isinstance(cmd, str) and cmd in role
    return ROLES.index(least_role(cmd)) <= ROLES.index(role)
