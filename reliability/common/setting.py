"""How the programs of a scenario talk: over which transport, and with or without keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import zmq


@dataclass(frozen=True)
class Setting:
    """A transport, and whether there are keys."""

    name: str
    transport: str = "tcp"
    secured: bool = False


PLAIN = Setting("tcp")
SECURED = Setting("tcp, secured", secured=True)
LIBZMQ = Setting("libzmq", "libzmq")
ALL = (PLAIN, SECURED, LIBZMQ)
TCP = (PLAIN, SECURED)


def _pair() -> tuple[str, str]:
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


@dataclass(frozen=True)
class Keys:
    """A server's keys and those of its clients, for one stage; who has none may look only."""

    server: tuple[str, str] = field(default_factory=_pair)
    client: tuple[str, str] = field(default_factory=_pair)

    def of_server(self) -> dict[str, Any]:
        """Return what ``security_of_server`` takes."""
        return {"secret": self.server[1], "allowed": {self.client[0]: "operate"}}

    def of_client(self) -> dict[str, str]:
        """Return what ``security_of_client`` takes."""
        return {"secret": self.client[1], "server": self.server[0]}


def security_of_server(keys: dict[str, Any] | None) -> Any:
    """Return the ServerSecurity of a role's settings, or None."""
    if keys is None:
        return None
    from laplace_server.security import ServerSecurity

    return ServerSecurity(secret_key=keys["secret"], allowed=keys["allowed"], anonymous="view")


def security_of_client(keys: dict[str, str] | None) -> Any:
    """Return the ClientSecurity of a role's settings, or None."""
    if keys is None:
        return None
    from laplace_server.security import ClientSecurity

    return ClientSecurity(keys["secret"], server_key=keys["server"])
