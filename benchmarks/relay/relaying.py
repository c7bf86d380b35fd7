"""A relay as a process of its own; ``main`` runs it: NATS-URL ADDRESS.

It prints "ready" and, for each line, how many updates are stored and how many bytes of them.
"""

from __future__ import annotations

import sys

from benchmarks.relay.producing import STREAM
from laplace_server.relay import NatsRelay


def main(url: str, address: str) -> None:
    """Run as the command line says."""
    with NatsRelay(url, [(address, STREAM)]) as relay:
        print("ready", flush=True)
        for _ in sys.stdin:
            stats = relay.stats().sources[0]
            print(stats.updates, stats.size_bytes, stats.lost, flush=True)
