"""ClientLHC and AsyncClientLHC."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.common.curve import client_security
from laplace_server.client import AsyncClientLHC, ClientLHC

CANNOT: dict[str, str] = {}


class Client:
    """For one thread."""

    def __init__(self, address: str, curve: bool) -> None:
        security = client_security() if curve else None
        self._client = ClientLHC(address, "bench", security=security)
        self.get = self._client.get

    def close(self) -> None:
        self._client.close()


class AsyncClient:
    """For many tasks."""

    def __init__(self, address: str, _count: int) -> None:
        self._client = AsyncClientLHC(address, "bench", timeout_s=30.0)

    async def get_all(self, count: int) -> list[dict[str, Any]]:
        """Ask so often at once."""
        return await asyncio.gather(*(self._client.get() for _ in range(count)))

    async def close(self) -> None:
        await self._client.close()
