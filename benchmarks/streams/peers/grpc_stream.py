"""gRPC: a server-streaming call for each subscriber, fed by a queue.

Numbers travel packed and an array as its bytes, as in the peers' ``grpc_doubles``; nothing that
protobuf could send is smaller.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from queue import Queue, SimpleQueue
from typing import Any

import grpc  # type: ignore[import-untyped]

from benchmarks.common import grpc_server
from benchmarks.streams.work import SHAPE, Producer, StreamWork, Take, queue_length

REQUIREMENT = grpc_server.REQUIREMENT
CANNOT = {"given": "a message is bytes, into which an array is copied"}

FOLLOW = f"/{grpc_server.SERVICE}/Follow"
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


class GrpcProducer(Producer):
    """The server."""

    def __init__(self, work: StreamWork) -> None:
        self._length = queue_length(work) if work.waits else 0
        self._queues: list[Any] = []
        handler = grpc.unary_stream_rpc_method_handler(
            self._follow, request_deserializer=bytes, response_serializer=pack
        )
        self._server, self.address = grpc_server.serve({"Follow": handler})

    def _follow(self, request: bytes, context: Any) -> Iterator[dict[str, Any]]:
        updates: Any = Queue(self._length) if self._length else SimpleQueue()
        self._queues.append(updates)
        while True:
            yield updates.get()

    def publish(self, data: dict[str, Any]) -> None:
        for updates in self._queues:
            updates.put(data)

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
