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
    """Updates for each second of measuring; with ``kind`` "through" about what gets through."""
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
        StreamWork(images=True, waits=True, copy=False),
        "through",
        per_s=2000,
        short=True,
    ),
]
