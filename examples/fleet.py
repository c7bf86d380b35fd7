"""Follow many devices: who is there, and do all know where to save?

    python fleet.py tcp://192.168.1.20:5555 tcp://192.168.1.21:5555 --save /data/today
    python fleet.py                                   two simulated cameras, one of which goes

A device that comes back is told the path again, and that it is to save, before anybody asks.
"""

from __future__ import annotations

import argparse
import threading
import time

from laplace_server.fleet import DeviceState, Fleet
from laplace_server.sim import SimulatedCamera


def show_joined(device: DeviceState) -> None:
    again = "" if device.joined == 1 else " again"
    print(f"{device.name} is there{again}, {device.address}", flush=True)


def show_lost(device: DeviceState) -> None:
    print(f"{device.name} is lost: {device.reason}", flush=True)


def follow(addresses: list[str], path: str, seconds: float) -> None:
    fleet = Fleet(addresses)
    fleet.set_on_joined(show_joined)
    fleet.set_on_lost(show_lost)
    with fleet:
        fleet.save(path)
        fleet.toggle_saving(True)
        deadline = time.monotonic() + seconds
        missing: dict[str, str] | None = None
        while time.monotonic() < deadline:
            if fleet.missing() != missing:
                missing = fleet.missing()
                for address, why in missing.items():
                    print(f"not ready: {address}: {why}", flush=True)
                if not missing:
                    print("all save", flush=True)
            time.sleep(0.1)
        for device in fleet.devices().values():
            if device.present and device.latency_s is not None:
                print(f"{device.name} answers in {1e3 * device.latency_s:.2f} ms")


def follow_simulated(path: str, seconds: float) -> None:
    """Follow two cameras, one of which goes after a while."""
    far = SimulatedCamera("far field", "tcp://127.0.0.1:*")
    near = SimulatedCamera("near field", "tcp://127.0.0.1:*")
    with far, near:
        addresses = [camera.local_address for camera in (far, near)]
        ends = threading.Timer(seconds / 4, near.stop)
        ends.start()
        follow(addresses, path, seconds)
        ends.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("addresses", nargs="*", metavar="ADDRESS")
    parser.add_argument("--save", default="/data/today", metavar="PATH")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to follow them")
    options = parser.parse_args()
    if options.addresses:
        follow(options.addresses, options.save, options.seconds)
    else:
        follow_simulated(options.save, options.seconds)


if __name__ == "__main__":
    main()
