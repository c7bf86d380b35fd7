"""gRPC: unary calls on a grpc.server with a thread pool; a channel for each client.

Numbers travel as packed doubles, the bytes protobuf has for ``repeated double``, so that no code
has to be generated; nothing it could send is smaller. The address is host and port.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]

from peers.device import Device
from peers.work import POSITIONS, Work, begin_company, move

REQUIREMENT = "grpcio==1.85.1"
CANNOT: dict[str, str] = {}

READ, MOVE = "/device.Device/Read", "/device.Device/Move"
WORKERS = 10  # as in the documentation's examples


def pack(numbers: Iterable[float]) -> bytes:
    return array("d", numbers).tobytes()


def unpack(data: bytes) -> array[float]:
    return array("d", data)


def serve(work: Work) -> str:
    """Serve from gRPC's own threads; return host and port."""
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
    _server = grpc.server(ThreadPoolExecutor(WORKERS))
    _server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("device.Device", methods)]
    )
    port = _server.add_insecure_port("127.0.0.1:0")
    _server.start()
    begin_company(work, device.publish)
    return f"127.0.0.1:{port}"


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
