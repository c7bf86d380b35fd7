"""What is measured of recorders: their compressions, and the rows of work they are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchmarks.common.bars import OURS
from benchmarks.common.suite import Peer, Row

NOT_COMPRESSED = "laplace-server, not compressed"


@dataclass(frozen=True)
class RecorderPeer(Peer):
    """A recorder."""

    package: ClassVar = "benchmarks.recording.peers"
    compression: str = "lz4"


PEERS = {
    peer.name: peer
    for peer in (
        RecorderPeer(OURS, "laplace", "#c1440e"),
        RecorderPeer(NOT_COMPRESSED, "laplace", compression="none"),
    )
}


@dataclass(frozen=True)
class RecorderRow(Row):
    """Devices that a recorder follows."""

    peers: tuple[str, ...] = tuple(PEERS)
    images_per_s: float = 0.0
    """Of a camera with 2 megapixels of 12 bits."""
    devices: int = 0
    """Others, with 1,000 small updates a second each."""


ROWS = [
    RecorderRow(
        "record_all",
        "recording 100 images of 2 megapixels a second beside 10 devices at 1 kHz",
        None,
        "recording",
        images_per_s=100,
        devices=10,
    ),
    RecorderRow(
        "record_small",
        "recording 10 devices at 1 kHz",
        None,
        "recording",
        (OURS,),
        devices=10,
        short=True,
    ),
]
