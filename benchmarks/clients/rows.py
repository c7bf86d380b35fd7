"""What is measured of clients: the peers, and the rows of work they are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchmarks.common.bars import OURS
from benchmarks.common.suite import Peer, Row
from benchmarks.requests.rows import PYZMQ

ASKING_ECHO = "pyzmq, orjson, of libzmq's echo"


@dataclass(frozen=True)
class ClientPeer(Peer):
    """A client to compare."""

    package: ClassVar = "benchmarks.clients.peers"


PEERS = {
    peer.name: peer
    for peer in (
        ClientPeer(OURS, "laplace", "#c1440e"),
        ClientPeer(PYZMQ, "pyzmq_req"),
        ClientPeer(ASKING_ECHO, "pyzmq_req"),
    )
}
USUAL = (OURS, PYZMQ)


@dataclass(frozen=True)
class ClientRow(Row):
    """Reads of the same server by a client in a process of its own."""

    peers: tuple[str, ...] = USUAL
    at_once: int = 0
    """Requests of an asyncio client at once; 0: a client for threads, one after the other."""
    curve: bool = False
    """All is encrypted, by CURVE."""
    strangers_per_s: float = 0.0
    """How many clients with unknown keys try to connect meanwhile."""


ROWS = [
    ClientRow("client_get", "client: GET of 2 floats in a loop", None, "asking", short=True),
    ClientRow(
        "client_curve",
        "client: GET of 2 floats in a loop, over CURVE",
        None,
        "asking",
        tuple(PEERS),
        curve=True,
    ),
    ClientRow(
        "client_strangers",
        "client: GET of 2 floats over CURVE, beside 1,000 strangers a second",
        None,
        "beside_strangers",
        curve=True,
        strangers_per_s=1000,
    ),
    ClientRow("client_at_once", "client: 100 GETs at once, asyncio", None, "asking", at_once=100),
]
