"""REQ sockets of plain pyzmq, with orjson; with asyncio, one for each request at once."""

from __future__ import annotations

import asyncio
from typing import Any

import zmq
import zmq.asyncio
from orjson import dumps, loads

from benchmarks.common.curve import ask_over_curve

REQUIREMENT = "pyzmq==27.3.0 orjson==3.13.0"
CANNOT: dict[str, str] = {}

FIELDS = {"from": "bench", "to": "device", "cmd": "GET", "payload": {}}
REQUEST = {**FIELDS, "version": "0.2.2", "error_msg": None, "msg": None}


class Client:
    """For one thread."""

    def __init__(self, address: str, curve: bool) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        self._socket.rcvtimeo = 30_000
        if curve:
            ask_over_curve(self._socket)
        self._socket.connect(address)

    def get(self) -> Any:
        self._socket.send(dumps(REQUEST))
        return loads(self._socket.recv())["payload"]["data"]

    def close(self) -> None:
        self._socket.close(linger=0)


class AsyncClient:
    """For many tasks."""

    def __init__(self, address: str, count: int) -> None:
        context = zmq.asyncio.Context.instance()
        self._sockets = [context.socket(zmq.REQ) for _ in range(count)]
        for socket in self._sockets:
            socket.connect(address)

    async def get_all(self, count: int) -> list[dict[str, Any]]:
        """Ask so often at once."""
        return await asyncio.gather(*map(self._get, self._sockets[:count]))

    async def _get(self, socket: zmq.asyncio.Socket) -> Any:
        await socket.send(dumps(REQUEST))
        return loads(await socket.recv())["payload"]["data"]

    async def close(self) -> None:
        for socket in self._sockets:
            socket.close(linger=0)
