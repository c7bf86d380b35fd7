"""Servers of ours with security, and clients that they know."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from support.keys import Pair, new_pair
from support.serving import serving

from laplace_server import ServerLHC
from laplace_server.security import ClientSecurity, ServerSecurity


class Lab:
    """The keys of a server, and of clients by their roles.

    Args:
        anonymous: the role of clients without a key.
    """

    def __init__(self, anonymous: str | None = None) -> None:
        self.server = new_pair()
        self.clients = {role: new_pair() for role in ("view", "operate", "admin")}
        self.security = ServerSecurity(
            secret_key=self.server.secret,
            allowed={pair.public: role for role, pair in self.clients.items()},
            anonymous=anonymous,
        )

    def client(self, role: str = "operate") -> ClientSecurity:
        return self.of(self.clients[role])

    def of(self, pair: Pair, server: Pair | None = None) -> ClientSecurity:
        """Of a client, allowed or not, and a server, this one or not."""
        return ClientSecurity(pair.secret, server_key=(server or self.server).public)

    @contextlib.contextmanager
    def serving(self, **arguments: Any) -> Iterator[ServerLHC]:
        with serving(security=self.security, **arguments) as server:
            yield server
