"""gRPC: unary calls on a grpc.server with a thread pool; a channel for each client.

Numbers travel as packed doubles, the bytes protobuf has for ``repeated double``, so that no code
has to be generated; nothing it could send is smaller.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

import grpc  # type: ignore[import-untyped]

from benchmarks.common import grpc_server
from benchmarks.requests.peers.device import Device
from benchmarks.requests.work import POSITIONS, Work, begin_company, move

REQUIREMENT = grpc_server.REQUIREMENT
CANNOT: dict[str, str] = {}

READ, MOVE = f"/{grpc_server.SERVICE}/Read", f"/{grpc_server.SERVICE}/Move"


def pack(numbers: Iterable[float]) -> bytes:
    return array("d", numbers).tobytes()


def unpack(data: bytes) -> array[float]:
    return array("d", data)


def serve(work: Work) -> str:
    """Serve from gRPC's own threads; return the address."""
    device = Device(work)

    def do_move(positions: array[float], context: Any) -> list[float]:
        move(list(positions))
        return []

    def method(function: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(function, unpack, pack)

    methods = {
        "Read": method(lambda request, context: device.read()),
        "Move": method(do_move),
    }
    global _server
    _server, address = grpc_server.serve(methods)
    begin_company(work, device.publish)
    return address


_server: Any = None  # runs as long as it is referenced


class GrpcClient:
    """A channel; those of one process share a connection, as gRPC does unless told otherwise."""

    def __init__(self, address: str, work: Work) -> None:
        self._channel = grpc.insecure_channel(address)
        self._call = self._channel.unary_unary(MOVE if work.command else READ, pack, unpack)
        self._command = work.command

    def request(self) -> Any:
        if not self._command:
            return self._call([])
        self._call(POSITIONS)
        return True

    def close(self) -> None:
        self._channel.close()


def client(address: str, work: Work) -> GrpcClient:
    """Return a client of the server at ``address``."""
    return GrpcClient(address, work)
