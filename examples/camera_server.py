"""A camera on a pulsed laser: every shot is streamed, and every so often an image.

    pip install '.[arrays]'  # in a clone of the repository
    python camera_server.py
    python camera_server.py --address "tcp://*:5555" --rate 1000 --images 25
    python camera_server.py --keys camera-keys     a folder of `laplace-server keys`

Stream "shots": one small update for each shot of the laser. Stream "images": the newest image,
with the number of its shot. What a simple client needs is set as the data, for GET. `recorder.py`
writes a stream to disk and `live_view.py` shows the images.
"""

from __future__ import annotations

import argparse
import math
import signal
import time
from typing import Any

import numpy as np

from laplace_server import ServerLHC
from laplace_server.protocol import DEVICE_CAMERA
from laplace_server.security import ServerSecurity

ROWS, COLUMNS = 480, 640


class Laser:
    """Stands for the hardware: an energy meter and a camera, triggered by each shot."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._noise = self._random.integers(90, 110, (ROWS, COLUMNS), dtype=np.uint16)

    def energy(self) -> float:
        """Energy of a shot, in J."""
        return float(self._random.normal(1.2, 0.01))

    def image(self, time_s: float) -> np.ndarray[Any, Any]:
        """The beam, as counts of a 12-bit sensor; a new array each time."""
        y = np.arange(ROWS) - ROWS * (0.5 + 0.1 * math.sin(time_s))
        x = np.arange(COLUMNS) - COLUMNS * (0.5 + 0.1 * math.cos(0.7 * time_s))
        beam = np.outer(np.exp(-((y / 60) ** 2)), np.exp(-((x / 80) ** 2)))
        return (3000 * beam).astype(np.uint16) + self._noise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="tcp://127.0.0.1:5555")
    parser.add_argument("--keys", metavar="FOLDER", help="whom to serve (default: everybody)")
    parser.add_argument("--rate", type=float, default=1000.0, help="shots per second")
    parser.add_argument("--images", type=float, default=25.0, help="images per second")
    parser.add_argument("--seconds", type=float, help="end after this time (default: never)")
    options = parser.parse_args()

    server = ServerLHC(
        name="camera",
        address=options.address,
        freedom=0,
        device=DEVICE_CAMERA,
        data={"shot": 0},
        security=ServerSecurity.from_folder(options.keys) if options.keys else None,
    )
    # A recorder may be away for about half a minute of images of 600 KiB, and for an hour of shots
    # of 60 bytes, and loses nothing. Memory is taken as it is needed.
    server.declare_stream("images", history_bytes=512 << 20)
    server.declare_stream("shots", history_bytes=256 << 20)

    laser = Laser()
    shots_per_image = max(1, round(options.rate / options.images))
    shot = 0
    begun = time.monotonic()
    offset = time.time() - begun  # from the clock that shots are counted by to the time of day
    # So that SIGTERM, as of a service that is stopped, ends it as Ctrl-C does: with a goodbye.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.start()
        print(f"camera: listening on port {server.server_port}", flush=True)
        while server.is_alive():  # false after a client's STOP
            shot += 1
            due = begun + shot / options.rate
            # A shot that is late already is not waited for, and none is left out.
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            energy = laser.energy()
            server.publish("shots", {"shot": shot, "energy_J": energy}, timestamp=due + offset)
            if shot % shots_per_image == 0:
                image = laser.image(due)
                # The image is made anew for each update, so it can be given away uncopied.
                server.publish(
                    "images", {"shot": shot, "image": image}, timestamp=due + offset, copy=False
                )
                server.set_data({"shot": shot, "energy_J": energy}, copy=True)
            if options.seconds is not None and due - begun > options.seconds:
                break
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
    print("camera: stopped", flush=True)


if __name__ == "__main__":
    main()
