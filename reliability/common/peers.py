"""What the tests have for scenarios too: raw peers, a proxy, another network, 0.2.0."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

from reliability.common.program import SLOWNESS

# Behind all others: what stands in there is named ``support``.
_TESTS = str(Path(__file__).resolve().parents[2] / "tests")
if _TESTS not in sys.path:
    sys.path.append(_TESTS)

from support.networks import NetworkUnavailable, OtherNetwork, other_network  # noqa: E402
from support.original import OriginalUnavailable, original_path  # noqa: E402
from support.peers import request  # noqa: E402
from support.proxy import Proxy  # noqa: E402
from support.raw_peers import RawPeer  # noqa: E402

__all__ = [
    "NetworkUnavailable",
    "OriginalUnavailable",
    "OtherNetwork",
    "Proxy",
    "RawPeer",
    "connect",
    "greet",
    "host_and_port",
    "original_path",
    "other_network",
    "request",
]

PATIENCE_S = 30.0 * SLOWNESS


def host_and_port(address: str) -> tuple[str, int]:
    """Take ``tcp://host:port`` apart."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return host, int(port)


def connect(address: str) -> socket.socket:
    """Return a bare connection, which sends each piece at once."""
    made = socket.create_connection(host_and_port(address), PATIENCE_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def greet(address: str) -> Any:
    """Return a RawPeer that is through its handshake."""
    connection = connect(address)
    peer = RawPeer.over(connection)
    try:
        connection.sendall(RawPeer.GREETING)
        peer.read_exactly(64)
        connection.sendall(RawPeer.ready())
        peer.read_frame()
    except BaseException:
        connection.close()
        raise
    return peer
