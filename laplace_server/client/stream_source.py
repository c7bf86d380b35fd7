"""Whom a program can be told to follow: a server's client, or a device whose streams are elsewhere.

Recorders, gatherings and bridges take any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Any

from laplace_server.client.not_copied import NotCopied
from laplace_server.client.starts import Start
from laplace_server.errors import ClientClosed

if TYPE_CHECKING:
    from laplace_server.client.asyncio.subscription import AsyncSubscription
    from laplace_server.client.sync.subscription import Subscription


class BaseSource(NotCopied):
    """One device; how it waits is the derived class's affair."""

    @property
    def address(self) -> str:
        """Where the device is found."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """What whoever follows is called there."""
        raise NotImplementedError

    @property
    def timeout_s(self) -> float:
        """How long a request waits unless it says otherwise, in seconds."""
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        """True once ``close()`` has been called."""
        raise NotImplementedError

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return f"<{type(self).__name__} {self.name!r} of {self.address}{state}>"

    def _check_open(self) -> None:
        if self.closed:
            raise ClientClosed(f"The client of {self.address} is closed.")


class AsyncStreamSource(BaseSource):
    """For asyncio."""

    def subscribe(
        self,
        stream: str = "data",
        *,
        start: Start = "latest",
        latest_only: bool = False,
        credit_bytes: int = 16 << 20,
        timeout_s: float | None = None,
        name: str | None = None,
    ) -> AsyncSubscription:
        """Follow a stream."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close what it has open; subscriptions stay."""
        raise NotImplementedError


class StreamSource(BaseSource):
    """For threads."""

    def subscribe(
        self,
        stream: str = "data",
        *,
        start: Start = "latest",
        latest_only: bool = False,
        credit_bytes: int = 16 << 20,
        timeout_s: float | None = None,
        name: str | None = None,
    ) -> Subscription:
        """Follow a stream."""
        raise NotImplementedError

    def info(self, *, timeout_s: float | None = None) -> dict[str, Any]:
        """Return what INFO tells of the device."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what it has open; subscriptions stay."""
        raise NotImplementedError

    # ---- for who follows on a program's behalf

    def _again(self) -> StreamSource:
        """Return another one like it, which is closed for itself."""
        raise NotImplementedError

    def _for_asyncio(self) -> AsyncStreamSource:
        """Return one like it for asyncio; of a ClientLHC, ``asyncio.twins`` knows it."""
        raise NotImplementedError

    def _subscribe_while(self, check: Callable[[], None], stream: str, **how: Any) -> Subscription:
        """Follow a stream; until it has begun, ``check`` raises where that is not wanted."""
        raise NotImplementedError

    def _stream_names(self) -> Set[str]:
        """Return the names of the streams to follow where none is named."""
        raise NotImplementedError

    def _info_of(self, epoch: int) -> dict[str, Any]:
        """Return what INFO told in a life of the server, as far as that is known."""
        raise NotImplementedError

    def _lacks(self, stream: str, timeout_s: float) -> bool:
        """Ask a server that is silent whether it lacks the stream.

        Raises:
            LaplaceError: it is not there.
        """
        raise NotImplementedError
