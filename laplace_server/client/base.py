"""What the clients for threads and for asyncio have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laplace_server.client.keys import client_keys
from laplace_server.client.not_copied import NotCopied
from laplace_server.client.program_name import program_name
from laplace_server.client.requests import Requests, checked_name, seconds_of
from laplace_server.errors import ClientClosed

if TYPE_CHECKING:
    from laplace_server.security import ClientSecurity


class Client(NotCopied):
    """One server's client; how it waits is the derived class's affair."""

    def __init__(
        self,
        address: str,
        name: str | None,
        timeout_s: float,
        security: ClientSecurity | None,
    ) -> None:
        self._requests = Requests(address, program_name() if name is None else name)
        self._timeout_s = seconds_of(timeout_s)
        self._security = security
        self._keys = client_keys(security)

    @property
    def address(self) -> str:
        """The server's address."""
        return self._requests.address

    @property
    def name(self) -> str:
        """What the client calls itself."""
        return self._requests.name

    @property
    def timeout_s(self) -> float:
        """How long a request waits unless it says otherwise, in seconds."""
        return self._timeout_s

    @property
    def security(self) -> ClientSecurity | None:
        """The keys by which the client and the server know each other, if they do."""
        return self._security

    @property
    def closed(self) -> bool:
        """True once ``close()`` has been called."""
        raise NotImplementedError

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return f"<{type(self).__name__} {self.name!r} of {self.address}{state}>"

    def _seconds(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else seconds_of(timeout_s)

    def _following(
        self, stream: str, name: str | None, timeout_s: float | None, **options: Any
    ) -> dict[str, Any]:
        """Return the arguments of a subscription.

        Raises:
            ClientClosed: the client is closed.
            TypeError, ValueError: ``name`` or ``timeout_s`` is none.
        """
        self._check_open()
        return {
            "address": self.address,
            "name": self.name if name is None else checked_name(name),
            "stream": stream,
            "timeout_s": self._seconds(timeout_s),
            "must": timeout_s is not None,
            "check": self._check_open,
            "keys": self._keys,
            **options,
        }

    def _check_open(self) -> None:
        if self.closed:
            raise ClientClosed(f"The client of {self.address} is closed.")
