"""A stage, a camera and an energy meter for scan.py, simulated, each a program of its own.

    python scan_devices.py stage --address tcp://127.0.0.1:5551
    python scan_devices.py camera --address tcp://127.0.0.1:5552
    python scan_devices.py meter --address tcp://127.0.0.1:5553

Each publishes what it sees at each shot of a laser, with the shot's number. A laboratory's timing
tells all devices the number; here the clock does, so that a device which comes back goes on with
the others. They run until Ctrl-C or a client's STOP.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

from laplace_server import ServerLHC
from laplace_server.protocol import DEVICE_CAMERA, DEVICE_SHOT
from laplace_server.sim import SimulatedMotor


def shots(rate_hz: float) -> Iterator[int]:
    """The number of each shot, when it fires; none is left out where the program was held up."""
    shot = int(time.time() * rate_hz)
    while True:
        shot += 1
        time.sleep(max(0.0, shot / rate_hz - time.time()))
        yield shot


def seen(kind: str, server: ServerLHC) -> dict[str, Any]:
    """What a device sees of a shot."""
    if kind == "stage":
        return {"positions": server.data["positions"]}
    if kind == "camera":
        return {"image": [[random.randrange(4096) for _ in range(4)] for _ in range(3)]}
    return {"energy_J": random.gauss(1.2, 0.05)}


def serve(kind: str, address: str, rate_hz: float) -> None:
    with ExitStack() as stack:
        if kind == "stage":
            server = stack.enter_context(SimulatedMotor(kind, address, axes=1)).server
        else:
            device = DEVICE_CAMERA if kind == "camera" else DEVICE_SHOT
            server = stack.enter_context(ServerLHC(kind, address, 0, device))
        server.set_on_saving_path_changed(lambda path: print(f"saving to {path}", flush=True))
        server.declare_stream("shots")
        print(f"{kind}: listening on port {server.server_port}", flush=True)
        for shot in shots(rate_hz):
            if not server.is_alive():
                break
            server.publish("shots", {"shot": shot, **seen(kind, server)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("stage", "camera", "meter"))
    parser.add_argument("--address", default="tcp://127.0.0.1:*")
    parser.add_argument("--rate", type=float, default=5.0, help="shots per second")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        serve(options.kind, options.address, options.rate)


if __name__ == "__main__":
    main()
