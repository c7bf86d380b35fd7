"""Record what two devices see of a laser's shots, and read it back: each shot with both.

    python record_shots.py

A camera and an energy meter, which misses some shots, are simulated here; of real ones, only the
addresses are others. The recorder is not there from the beginning: what was published before is in
the devices' histories.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import laplace_server.recording
from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.recording import Recorder, join


def fire(camera: ServerLHC, meter: ServerLHC, shots: range) -> None:
    """Have the devices see some shots."""
    for shot in shots:
        image = np.full((120, 160), 100 * shot, "u2")
        camera.publish("images", {"shot": shot, "image": image})
        if shot % 7:
            meter.publish("shots", {"shot": shot, "energy_J": 1.2 + shot / 100})


def record(path: Path, shots: int) -> None:
    """Write all shots into a file."""
    described = {("images", "image"): {"unit": "count"}}
    camera = ServerLHC("camera", "tcp://127.0.0.1:*", 0, "CAMERA", describe=described)
    meter = ServerLHC("meter", "tcp://127.0.0.1:*", 0, "SHOT")
    with camera, meter:
        fire(camera, meter, range(1, shots // 2))
        with (
            ClientLHC(camera.address) as of_camera,
            ClientLHC(meter.address) as of_meter,
            Recorder(path, [(of_camera, "images"), of_meter]) as recorder,
        ):
            fire(camera, meter, range(shots // 2, shots + 1))
            published = 2 * shots - shots // 7
            while sum(each.updates for each in recorder.stats().streams) < published:
                time.sleep(0.01)
            for each in recorder.stats().streams:
                print(f"{each.server}/{each.stream}: {each.updates} updates, {each.lost} lost")


def read(path: Path) -> None:
    """Print what the file has."""
    with laplace_server.recording.open(path) as recording:
        images, energies = recording["camera"]["images"], recording["meter"]["shots"]
        print("images:", images["image"].shape, images["image"].attributes["units"])
        for row in images.ledger:
            print(f"ledger: {row.first} to {row.last} {row.kind}")
        shots = join({"image": images, "energy": energies}, key="shot")
        print(f"{len(shots.complete)} of {len(shots)} shots have both")
        for shot, found in shots.complete:
            if shot % 10 == 1:
                brightness = found["image"].data["image"].mean()
                print(f"shot {shot}: {found['energy'].data['energy_J']:.2f} J, {brightness:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, default=Path("shots.h5"), help="a new one")
    parser.add_argument("--shots", type=int, default=30, help="how many, 2 at least (30)")
    options = parser.parse_args()
    if options.shots < 2:
        parser.error("--shots is 2 or more")
    try:
        record(options.file, options.shots)
    except FileExistsError:
        sys.exit(f"{options.file} is there already: remove it, or give another one by --file.")
    except OSError as error:
        sys.exit(str(error))
    read(options.file)


if __name__ == "__main__":
    main()
