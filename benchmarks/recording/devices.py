"""Devices to record, as a process of their own; ``main`` runs it.

    IMAGES_PER_S DEVICES SECONDS

prints the addresses as JSON, waits for a line, publishes for so long, prints how many updates that
were and the seconds of CPU, and serves on until another line comes.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack

import numpy as np

from laplace_server import ServerLHC

ROWS, COLUMNS, FULL_SCALE = 1088, 1920, 4095
_PERIOD_S = 0.0005
_HISTORY_BYTES = 1 << 30


def beam_images(count: int) -> list[np.ndarray]:
    """Return images of a beam, with noise, 12 bits in 16."""
    random = np.random.default_rng(19)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    beam = 1500 * np.exp(-(((x - 900) / 300) ** 2) - ((y - 500) / 200) ** 2)
    noisy = (beam + random.normal(30, 6, beam.shape) for _ in range(count))
    return [image.clip(0, FULL_SCALE).astype("u2") for image in noisy]


def main(images_per_s: str, devices: str, seconds: str) -> None:
    """Run as the command line says."""
    with ExitStack() as stack:

        def serve(name: str, device: str) -> ServerLHC:
            return stack.enter_context(ServerLHC(name, "tcp://127.0.0.1:*", 0, device))

        camera = serve("camera", "CAMERA")
        camera.declare_stream("images", history_bytes=_HISTORY_BYTES)
        meters = [serve(f"meter{n}", "SHOT") for n in range(int(devices))]
        for meter in meters:
            meter.declare_stream("shots")
        images = beam_images(8)
        print(json.dumps([server.address for server in (camera, *meters)]), flush=True)
        sys.stdin.readline()
        begin, cpu_s = time.perf_counter(), time.process_time()
        shot = taken = 0
        while (now := time.perf_counter() - begin) < float(seconds):
            while shot < now * 1000:
                shot += 1
                for meter in meters:
                    meter.publish("shots", {"shot": shot, "energy_J": shot / 2})
            if taken < now * float(images_per_s):
                taken += 1
                camera.publish("images", {"shot": taken, "image": images[taken % len(images)]})
            time.sleep(_PERIOD_S)
        told = {
            "updates": taken + shot * len(meters),
            "images": taken,
            "cpu_s": time.process_time() - cpu_s,
        }
        print(json.dumps(told), flush=True)
        sys.stdin.readline()
