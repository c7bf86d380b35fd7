"""For asyncio, what a program has given for threads."""

from __future__ import annotations

from laplace_server.client.asyncio.client import AsyncClientLHC
from laplace_server.client.stream_source import AsyncStreamSource, StreamSource
from laplace_server.client.sync.client import ClientLHC


def twin_of(source: StreamSource) -> AsyncStreamSource:
    """Return another one like it, for asyncio."""
    if isinstance(source, ClientLHC):
        return AsyncClientLHC(
            source.address, source.name, source.timeout_s, security=source.security
        )
    return source._for_asyncio()
