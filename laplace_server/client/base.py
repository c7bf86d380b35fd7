"""What the clients for threads and for asyncio have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laplace_server.client.keys import client_keys
from laplace_server.client.program_name import program_name
from laplace_server.client.requests import Requests, checked_name, seconds_of
from laplace_server.client.stream_source import BaseSource

if TYPE_CHECKING:
    from laplace_server.security import ClientSecurity


class Client(BaseSource):
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
