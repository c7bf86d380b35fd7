"""A recorder as a process of its own; ``main`` runs it.

    PATH COMPRESSION ADDRESSES (JSON)

prints "ready", waits for a line with the number of updates to come, records until all have come or
are lost, and prints what that took, as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from contextlib import ExitStack

from laplace_server.client import ClientLHC
from laplace_server.recording import Recorder

_PATIENCE_S = 60.0
_LOOK_S = 0.02


def main(path: str, compression: str, addresses: str) -> None:
    """Run as the command line says."""
    with ExitStack() as stack:
        clients = [stack.enter_context(ClientLHC(each)) for each in json.loads(addresses)]
        recorder = stack.enter_context(Recorder(path, clients, compression=compression))
        recorder.wait_followed(_PATIENCE_S)
        cpu_s = time.process_time()
        print("ready", flush=True)
        updates = int(sys.stdin.readline())
        deadline = time.monotonic() + _PATIENCE_S
        received = lost = 0
        while received + lost < updates and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            streams = recorder.stats().streams
            received = sum(each.updates for each in streams)
            lost = sum(each.lost for each in streams)
        recorder.close()
        told = {
            "received": received,
            "lost": lost,
            "cpu_s": time.process_time() - cpu_s,
            "bytes": recorder.stats().written,
            "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }
        print(json.dumps(told), flush=True)
