"""Whom a server serves: its ServerSecurity, as the core knows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from laplace_server.security.keys import raw
from laplace_server.security.observers import Observer
from laplace_server.security.rights import Rights
from laplace_server.security.roles import NAME_OF_ANONYMOUS
from laplace_server.security.server import ServerSecurity
from laplace_server.server._core import MAX_ROLES, ServerKeys
from laplace_server.server.rights import RoleTable, not_permitted

NO_KEY = 0


class Access:
    """The roles of one server, and the numbers of its clients' keys.

    A key has the same number as long as the server lives, and a number the same key: what a
    connection has asked whose key was removed since still has a name.

    Raises:
        ValueError: there are too many different roles.
    """

    def __init__(self, security: ServerSecurity | None) -> None:
        self._security = security
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._roles: dict[int, int] = {}  # of the keys that are served, all by number
        self._left_out: list[str] = []
        self.roles = RoleTable(None)
        """What each role permits at this moment."""
        if security is not None:
            self.take(security.rights)
            self.check()

    @property
    def secured(self) -> bool:
        """Whether clients may do different things."""
        return self._security is not None

    def rights(self) -> Rights | None:
        """What its security says at this moment; None: there is none."""
        return None if self._security is None else self._security.rights

    # ---- changes

    def begin(self, observer: Observer) -> Rights | None:
        """Tell it of each change from the returned rights on; None: there is no security."""
        return None if self._security is None else self._security.add_observer(observer)

    def end(self, observer: Observer) -> None:
        """Tell it no more."""
        if self._security is not None:
            self._security.remove_observer(observer)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within it, changes of the folder of keys, if there is one, count within a second."""
        if self._security is None:
            yield
            return
        with self._security.watched():
            yield

    def take(self, rights: Rights) -> ServerKeys:
        """Make these what holds, and return them for the core.

        A key whose role has got no number is left out, so that all else counts.
        """
        self.roles = RoleTable(rights, self.roles if self.roles.secured else None)
        self._left_out = []
        clients = []
        roles: dict[int, int] = {}
        for key in rights.keys.values():
            number = self._numbers.setdefault(key.public_key, len(self._numbers) + 1)
            self._names[number] = key.name
            role = self.roles.number_of(key.role)
            if role is None:
                self._left_out.append(key.name)
            else:
                clients.append((raw(key.public_key), role, number))
                roles[number] = role
        self._roles = roles
        return ServerKeys(rights.secret_key.reveal(), clients)

    def check(self) -> None:
        """Raise ValueError if a key had to be left out."""
        if self._left_out:
            raise ValueError(
                f"a server can tell {MAX_ROLES - 1} different roles apart, in all its life, and "
                f"does not serve {', '.join(self._left_out)}: give several keys the same set of "
                "commands"
            )

    # ---- who asks

    def role_now(self, role: int, key: int) -> int | None:
        """The role of who has asked in this one: it may have changed while the request waited.

        None: its key is not served any more.
        """
        return role if key == NO_KEY else self._roles.get(key)

    def permits(self, role: int, key: int, cmd: Any) -> bool:
        """Whether who asks may use a command."""
        now = self.role_now(role, key)
        return now is not None and self.roles.permits(now, cmd)

    def refusal(self, role: int, key: int, cmd: Any) -> str:
        """What to tell who may not."""
        now = self.role_now(role, key)
        return not_permitted(self.roles.name_of(role if now is None else now), cmd)

    def caller(self, key: int, address: str = "") -> str:
        """Who asks, for the log: the name of a key, or else from where it does.

        Empty without security.
        """
        if not self.secured:
            return ""
        if key != NO_KEY:
            return self._names.get(key, "unknown")
        return f"{NAME_OF_ANONYMOUS}, {address}" if address else NAME_OF_ANONYMOUS
