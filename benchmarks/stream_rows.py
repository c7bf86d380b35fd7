"""What is measured of streams: the peers, and the rows of work they are given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from rows import OURS
from stream_programs import NATIVE, StreamPeer
from streams.work import StreamWork

PYZMQ, P4P, GRPC = "pyzmq, orjson", "p4p", "grpcio"

STREAM_PEERS = {
    peer.name: peer
    for peer in (
        StreamPeer(OURS, "laplace"),
        StreamPeer(NATIVE),
        StreamPeer(PYZMQ, "pyzmq_pub"),
        StreamPeer(P4P, "pvaccess_p4p", 0.1),
        StreamPeer(GRPC, "grpc_stream", 0.1),
    )
}
ALL = tuple(STREAM_PEERS)


@dataclass(frozen=True)
class StreamRow:
    """A stream, for which peers."""

    key: str
    title: str
    work: StreamWork
    kind: str
    """Which function of ``stream_measure.py`` does it."""
    peers: tuple[str, ...] = ALL
    per_s: float = 0.0
    """Updates per second; where they go as fast as possible, what sets their number."""
    subscribers: int = 1
    short: bool = False
    """Whether it is also in the short run."""
    short_peers: ClassVar = (OURS, NATIVE, PYZMQ)

    def only(self, peers: Iterable[str]) -> StreamRow:
        """Return the row for these peers alone."""
        return replace(self, peers=tuple(name for name in self.peers if name in peers))


STREAM_ROWS = [
    StreamRow(
        "stream_small",
        "stream of small updates",
        StreamWork(waits=True),
        "through",
        per_s=500_000,
        short=True,
    ),
    StreamRow(
        "stream_copied",
        "stream of 1 MiB arrays, copied",
        StreamWork(images=True, waits=True),
        "through",
        per_s=2000,
        short=True,
    ),
    StreamRow(
        "stream_given",
        "stream of 1 MiB arrays, given away",
        StreamWork(images=True, waits=True, given=True),
        "through",
        per_s=2000,
    ),
    StreamRow(
        "stream_fan_out",
        "stream at 10 kHz to 8 subscribers",
        StreamWork(timed=True),
        "fan_out",
        (OURS, PYZMQ, P4P),
        per_s=10_000,
        subscribers=8,
    ),
    *(
        StreamRow(
            f"stream_publish{rate}",
            f"publishing at {rate // 1000} kHz",
            StreamWork(timed=True),
            "publishing",
            (OURS, PYZMQ, P4P),
            per_s=rate,
            subscribers=8,
        )
        for rate in (1000, 10_000)
    ),
    StreamRow(
        "stream_busy",
        "stream at 1 kHz beside a computing thread",
        StreamWork(timed=True),
        "busy",
        (OURS, PYZMQ, P4P, GRPC),
        per_s=1000,
        short=True,
    ),
    StreamRow(
        "stream_busy_real_time",
        "stream at 1 kHz beside a computing thread, in real time",
        StreamWork(timed=True, real_time=True),
        "busy",
        (OURS, PYZMQ),
        per_s=1000,
    ),
    StreamRow(
        "stream_reads",
        "reads beside a stream of 1 MiB arrays",
        StreamWork(images=True, waits=True, history_bytes=16 << 20),
        "reads",
        (OURS,),
        per_s=1000,
        short=True,
    ),
]
