"""gRPC: a server-streaming call for each subscriber, fed by a queue.

Numbers travel packed and an array as its bytes, as in the peers' ``grpc_doubles``; nothing that
protobuf could send is smaller. The address is host and port.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue, SimpleQueue
from typing import Any

import grpc  # type: ignore[import-untyped]

from streams.work import SHAPE, StreamWork, Take, queue_length

REQUIREMENT = "grpcio==1.85.1"
CANNOT = {"given": "a message is bytes, into which an array is copied"}

FOLLOW = "/device.Device/Follow"
WORKERS = 10  # a subscriber keeps one
NUMBERS = struct.Struct("<dq")


def pack(data: dict[str, Any]) -> bytes:
    numbers = NUMBERS.pack(data["x"], data["shot"])
    return b"".join((numbers, data["image"])) if "image" in data else numbers


def unpack(message: bytes) -> dict[str, Any]:
    x, shot = NUMBERS.unpack_from(message)
    return {"x": x, "shot": shot}


def unpack_image(message: bytes) -> dict[str, Any]:
    import numpy

    image = numpy.frombuffer(message, offset=NUMBERS.size).reshape(SHAPE)
    return {**unpack(message), "image": image}


class GrpcProducer:
    """The server."""

    def __init__(self, work: StreamWork) -> None:
        self._length = queue_length(work) if work.waits else 0
        self._queues: list[Any] = []
        handler = grpc.unary_stream_rpc_method_handler(
            self._follow, request_deserializer=bytes, response_serializer=pack
        )
        self._server = grpc.server(ThreadPoolExecutor(WORKERS))
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("device.Device", {"Follow": handler})]
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _follow(self, request: bytes, context: Any) -> Iterator[dict[str, Any]]:
        updates: Any = Queue(self._length) if self._length else SimpleQueue()
        self._queues.append(updates)
        while True:
            yield updates.get()

    def publish(self, data: dict[str, Any]) -> None:
        for updates in self._queues:
            updates.put(data)

    def publish_numbers(self, shots: range) -> None:
        for shot in shots:
            self.publish({"x": 0.5 * shot, "shot": shot})

    def subscribers(self) -> int:
        return len(self._queues)


def produce(work: StreamWork) -> GrpcProducer:
    """Serve from gRPC's own threads."""
    return GrpcProducer(work)


def subscribe(address: str, work: StreamWork, ready: Callable[[], None], take: Take) -> int | None:
    """Take what the call yields, to the end; nothing is dropped."""
    with grpc.insecure_channel(address) as channel:
        unpacked = unpack_image if work.images else unpack
        call = channel.unary_stream(FOLLOW, bytes, unpacked)(b"")
        ready()
        take(call)
        call.cancel()
    return None
