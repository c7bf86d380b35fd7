"""A ServerLHC that publishes, a ClientLHC that subscribes. The address is ZeroMQ's."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from benchmarks.common.curve import client_security, server_security
from benchmarks.common.programs import free_port
from benchmarks.requests.work import Work, values
from benchmarks.streams.work import STREAM, StreamWork, Take
from laplace_server import ServerLHC
from laplace_server.client import ClientLHC

CANNOT: dict[str, str] = {}


class LaplaceProducer:
    """A device program."""

    def __init__(self, work: StreamWork, **others: Any) -> None:
        self.address = f"tcp://127.0.0.1:{free_port()}"
        settings: dict[str, Any] = {"spin_us": work.spin_us, "real_time": work.real_time, **others}
        if work.curve:
            settings["security"] = server_security()
        self._server = server = ServerLHC("device", self.address, 0, "CAMERA", {}, **settings)
        server.daemon = True
        server.set_data({"values": values(Work().floats)})  # for those who read beside the stream
        server.declare_stream(
            STREAM,
            history_bytes=work.history_bytes,
            policy="block" if work.waits else "gap",
            block_timeout_s=60.0,
        )
        server.start()
        self._copy = not work.given
        self.publish = self._publish_images if work.images else self._publish

    def publish_numbers(self, shots: range) -> None:
        publish = self._server.publish
        for shot in shots:
            publish(STREAM, {"x": 0.5 * shot, "shot": shot})

    def _publish(self, data: dict[str, Any]) -> None:
        self._server.publish(STREAM, data)

    def _publish_images(self, data: dict[str, Any]) -> None:
        self._server.publish(STREAM, data, copy=self._copy)

    def subscribers(self) -> int:
        return len(self._server.stats().subscribers)


def produce(work: StreamWork, **others: Any) -> LaplaceProducer:
    """Start a server, with other settings if they are given."""
    return LaplaceProducer(work, **others)


def subscribe(address: str, work: StreamWork, ready: Callable[[], None], take: Take) -> int | None:
    """Follow the stream to its end; return how many updates are reported as lost."""
    security = client_security() if work.curve else None
    with ClientLHC(address, security=security) as client, client.subscribe(STREAM) as updates:
        ready()
        take(map(attrgetter("data"), updates))
        return updates.lost
