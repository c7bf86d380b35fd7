"""A device as a process of its own; ``main`` runs it: STREAM-OF-ARRAYS RATE.

It prints its address, waits for a line, and publishes until it is ended: as fast as the relay
takes it, or so many a second.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from benchmarks.streams.work import SHAPE
from laplace_server import ServerLHC

STREAM = "updates"
_HISTORY_BYTES = 256 << 20


def main(arrays: str, rate: str) -> None:
    """Run as the command line says."""
    server = ServerLHC("device", "tcp://127.0.0.1:*", 0, "CAMERA")
    server.start()
    per_s = float(rate)
    policy = "gap" if per_s else "block"
    server.declare_stream(STREAM, history_bytes=_HISTORY_BYTES, policy=policy, block_timeout_s=60.0)
    print(server.address_for_client, flush=True)
    sys.stdin.readline()
    shot, begin = 0, time.perf_counter()
    while True:
        shot += 1
        if per_s:
            time.sleep(max(0.0, begin + shot / per_s - time.perf_counter()))
        data = {"x": 0.5 * shot, "shot": shot}
        if arrays == "1":
            data["image"] = np.full(SHAPE, float(shot))
        server.publish(STREAM, data, copy=False)
