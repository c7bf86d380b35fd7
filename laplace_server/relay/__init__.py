"""Beyond one machine: streams in NATS JetStream, for days, thousands of readers and other sites.

    relay = NatsRelay("nats://broker:4222", [("tcp://192.168.1.20:5555", "images")])
    relay.start()

    with follow("nats://broker:4222", "camera", "images", start="oldest") as images:
        for update in images:
            print(update.seq, update.data)

``NatsDevice`` stands where a client of the device's server would, for recorders, gatherings and Qt
bridges.

It needs the extra ``nats`` (nats-py), and a NATS server with JetStream: docs/relay.md.
"""

from laplace_server.relay.following import async_follow, follow
from laplace_server.relay.nats_device import AsyncNatsDevice, NatsDevice
from laplace_server.relay.nats_relay import NatsRelay
from laplace_server.relay.sources import RelaySource
from laplace_server.relay.stats import RelayStats, SourceStats

__all__ = [
    "AsyncNatsDevice",
    "NatsDevice",
    "NatsRelay",
    "RelaySource",
    "RelayStats",
    "SourceStats",
    "async_follow",
    "follow",
]
