"""Where a server listens, and the address that its clients are told."""

from __future__ import annotations

import sys
import time
from typing import Any

import zmq

from laplace_server.server import _core, forks
from laplace_server.server._core import TransportKind
from laplace_server.server.addresses import host_for_clients
from laplace_server.server.transports import Transport

# How much may wait for Python, in all and for one peer; beyond it, the answer is "busy". The times:
# until a subscriber is forgotten that has used up its credit and says nothing, and between two
# lines of the log of connections refused for the same reason.
LIMITS = {
    "pending": 4096,
    "pending_bytes": 256 << 20,
    "peer_pending": 1024,
    "peer_pending_bytes": 64 << 20,
    "subscriber_silence_ms": 60_000,
    "refusal_log_ms": 60_000,
}

# Windows keeps a port taken until the connections to the server before have ended as well, and
# each of those has to be closed by its client, too.
_BIND_PATIENCE_S = 0.5 if sys.platform == "win32" else 0.0


def bound_core(
    address: str, transport: Transport, limits: dict[str, int], **settings: Any
) -> _core.Core:
    """Return a core that has its port; ``limits`` are those of connections.

    Raises:
        zmq.ZMQError: the address cannot be bound.
    """
    settings |= limits
    deadline = time.monotonic() + _BIND_PATIENCE_S
    while True:
        try:
            return forks.bound(
                lambda: _core.Core(
                    address=address.encode(),
                    transport=TransportKind[transport.upper()],
                    limits=dict(LIMITS),
                    **settings,
                )
            )
        except zmq.ZMQError as problem:
            if problem.errno != zmq.EADDRINUSE or time.monotonic() >= deadline:
                raise
        time.sleep(0.01)


def resolved(address: str, core: _core.Core, name: str) -> tuple[str, str, str]:
    """Return the address with its real port, where clients connect to, and the port.

    ``name`` is the server's, for the log.
    """
    given_host, _, port = address.removeprefix("tcp://").rpartition(":")
    host, _, bound_port = core.endpoint().removeprefix("tcp://").rpartition(":")
    if not port.isdigit() or int(port) == 0:
        port = bound_port
    if host in ("0.0.0.0", "[::]"):
        host = host_for_clients(name, ipv6=host == "[::]")
    return f"tcp://{given_host}:{port}", host, port
