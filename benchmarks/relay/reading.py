"""Who follows a stream, as a process of its own; ``main`` runs it: WHERE URL SECONDS.

WHERE is "nats" or "server". It prints "ready", follows for so long, and prints as JSON how long
after they were published updates came, in s.
"""

from __future__ import annotations

import json
import time

from benchmarks.relay.producing import STREAM
from laplace_server.client import ClientLHC
from laplace_server.relay import follow


def main(where: str, url: str, seconds: str) -> None:
    """Run as the command line says."""
    took: list[float] = []
    client = ClientLHC(url) if where == "server" else None
    following = follow(url, "device", STREAM) if client is None else client.subscribe(STREAM)
    with following as updates:
        updates.next(60.0)
        print("ready", flush=True)
        end = time.monotonic() + float(seconds)
        while time.monotonic() < end:
            update = updates.next(60.0)
            took.append(time.time() - update.timestamp)
    print(json.dumps(took), flush=True)
