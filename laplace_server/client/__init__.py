"""Clients of a server: ``ClientLHC`` for threads, ``AsyncClientLHC`` for asyncio.

    with ClientLHC("tcp://192.168.1.20:5555") as motor:
        motor.set([1.5, 2.0])
        print(motor.get()["positions"])

They speak to any laplace-server with protocol version 0.2.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laplace_server.wire.compiled import explain_missing

try:
    from laplace_server.client import _frames as _frames
except ImportError as error:
    raise explain_missing("laplace_server.client._frames", error) from None

from laplace_server.client.sync.client import ClientLHC

if TYPE_CHECKING:
    from laplace_server.client.asyncio.client import AsyncClientLHC

__all__ = ["AsyncClientLHC", "ClientLHC"]


if not TYPE_CHECKING:  # a checker would take any name for one of the module

    def __getattr__(name: str) -> Any:
        """Load the asyncio client when it is asked for: asyncio takes its time to import."""
        if name == "AsyncClientLHC":
            from laplace_server.client.asyncio.client import AsyncClientLHC

            return AsyncClientLHC
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
