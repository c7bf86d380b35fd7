"""Keys and rights: who a server is, who its clients are, and what they may ask for.

    security = ServerSecurity.from_folder("stage-keys")
    security = ClientSecurity("anna.key_secret", server_key="stage.key")

Keys are those of CurveZMQ (ZeroMQ RFC 26): 40 characters of Z85 (RFC 32), or files in the format of
``zmq.auth.certs``. docs/security.md has the whole of it.
"""

from laplace_server.security.client import ClientSecurity
from laplace_server.security.rights import AllowedKey, Change, Rights
from laplace_server.security.roles import ROLES, Role
from laplace_server.security.server import ServerSecurity

__all__ = [
    "ROLES",
    "AllowedKey",
    "Change",
    "ClientSecurity",
    "Rights",
    "Role",
    "ServerSecurity",
]
