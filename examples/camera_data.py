"""One image, three ways to get it: as text, as an array, as a stream.

    python camera_data.py
    python camera_data.py --seconds 10 --rows 2160 --columns 3840

It serves a simulated camera that sets a frame ten times a second, and reads it in the same program;
a reader is a program of its own as a rule. Needs NumPy.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable

import numpy as np

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.protocol import DEVICE_CAMERA


def acquire(server: ServerLHC, rows: int, columns: int, ended: threading.Event) -> None:
    """Fill one buffer again and again, as a driver does, and hand over each frame."""
    random = np.random.default_rng()
    buffer = np.empty((rows, columns))
    shot = 0
    while not ended.wait(0.1):
        random.random(out=buffer)
        shot += 1
        # The buffer is used again, so the server is to have a copy.
        server.set_data({"shot": shot, "image": buffer}, copy=True)


def rate_of(read: Callable[[], object], seconds: float) -> tuple[int, float]:
    """How many reads there were, and how long one took (s)."""
    count = 0
    begun = time.monotonic()
    while time.monotonic() < begun + seconds:
        read()
        count += 1
    return count, (time.monotonic() - begun) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="tcp://127.0.0.1:*")
    parser.add_argument("--rows", type=int, default=1080)
    parser.add_argument("--columns", type=int, default=1920)
    parser.add_argument("--seconds", type=float, default=6.0, help="for all three ways together")
    options = parser.parse_args()
    seconds = options.seconds / 3

    server = ServerLHC("camera", options.address, 0, DEVICE_CAMERA)
    ended = threading.Event()
    camera = threading.Thread(target=acquire, args=(server, options.rows, options.columns, ended))
    with server, ClientLHC(f"tcp://127.0.0.1:{server.server_port}", timeout_s=30.0) as client:
        camera.start()
        try:
            while not client.get(arrays=True):
                time.sleep(0.01)
            count, each = rate_of(client.get, seconds)
            print(f"GET, text:   {count:5} reads, {each * 1e3:7.1f} ms each")
            count, each = rate_of(lambda: client.get(arrays=True), seconds)
            print(f"GET, arrays: {count:5} reads, {each * 1e3:7.1f} ms each")
            with client.subscribe("data") as frames:
                count, each = rate_of(frames.next, seconds)
                print(f"stream:      {count:5} frames, {frames.lost} lost")
        finally:
            ended.set()
            camera.join()


if __name__ == "__main__":
    main()
