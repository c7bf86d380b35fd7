"""What clients make of the security that they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laplace_server.client import _frames

if TYPE_CHECKING:
    from laplace_server.security import ClientSecurity


def client_keys(security: ClientSecurity | None) -> _frames.ClientKeys | None:
    """Return the keys that connections use; None where there is no security.

    Nothing of cryptography is loaded before somebody asks for it.

    Raises:
        TypeError: it is no ClientSecurity.
        ValueError: the server's key is none that anybody could have made.
        ImportError: there is no libsodium.
    """
    if security is None:
        return None
    from laplace_server.security import ClientSecurity, keys
    from laplace_server.wire import libsodium

    if not isinstance(security, ClientSecurity):
        raise TypeError(
            f"'security' must be a ClientSecurity or None, not {type(security).__name__}."
        )
    libsodium.load(_frames.load_sodium)
    return _frames.ClientKeys(security.secret_key.reveal(), keys.raw(security.server_key))
