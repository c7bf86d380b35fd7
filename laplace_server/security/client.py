"""ClientSecurity: who a client is, and whom it talks to."""

from __future__ import annotations

import os

from laplace_server.security.certificates import Key, as_file, read_public, read_secret
from laplace_server.security.keys import NotPickled, SecretKey, checked_public, checked_secret
from laplace_server.security.own_keys import find


class ClientSecurity(NotPickled):
    """The keys by which a client and one server know each other. It never changes.

    Args:
        secret_key: the client's own, as Z85 text or a certificate file.
        public_key: what belongs to it; need not be given.
        server_key: the server's public key, as text or a file. Who has not its secret half is not
            talked to.

    Raises:
        TypeError, ValueError: an argument is wrong.
        KeyFileError: a file is not as it has to be.
    """

    __slots__ = ("_public_key", "_secret_key", "_server_key")

    def __init__(self, secret_key: Key, public_key: Key | None = None, *, server_key: Key) -> None:
        file = as_file(secret_key)
        own = checked_secret("secret_key", secret_key) if file is None else read_secret(file)[1]
        belongs = own.public_text()
        if public_key is not None:
            _check_pair(own, belongs, _public_of("public_key", public_key))
        server = _public_of("server_key", server_key)
        if server in (belongs, own.text()):
            raise ValueError("server_key is a key of the client itself, not the server's.")
        self._secret_key = own
        self._public_key = belongs
        self._server_key = server

    @classmethod
    def find(cls, address: str, key: str | os.PathLike[str] | None = None) -> ClientSecurity | None:
        """Return what this user has for the server at an address; None: no key of it is known.

        Args:
            address: as it is given to the client.
            key: the user's own: a file, or a name in the folder of keys. Unless given, what the
                environment variable LAPLACE_KEY says, then the one for that server alone, then the
                only one in the folder of keys.

        Raises:
            ValueError: the address is none.
            KeyFileError: a key is wanted or known for this server, and another one is missing.
        """
        found = find(address, key)
        return None if found is None else cls(found.own, server_key=found.server)

    @property
    def secret_key(self) -> SecretKey:
        """The client's own."""
        return self._secret_key

    @property
    def public_key(self) -> str:
        """What the server knows it by."""
        return self._public_key

    @property
    def server_key(self) -> str:
        """What it knows the server by."""
        return self._server_key

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} with the public key {self._public_key!r} "
            f"for the server with {self._server_key!r}>"
        )


def _public_of(what: str, key: Key) -> str:
    file = as_file(key)
    return checked_public(what, key) if file is None else read_public(file).public_key


def _check_pair(own: SecretKey, belongs: str, public_key: str) -> None:
    if public_key == belongs:
        return
    if checked_secret("public_key", public_key).public_text() == own.text():
        raise ValueError("secret_key and public_key are given the wrong way round.")
    raise ValueError("secret_key and public_key do not belong together.")
