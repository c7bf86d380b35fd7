"""A two-axis stage served to the network, with callbacks and without a window.

    python motor_server.py
    python motor_server.py --address "tcp://*:5555"     for other machines too
    python motor_server.py --keys stage-keys            a folder of `laplace-server keys`

It runs until Ctrl-C or a client's STOP. `client.py` reads it and moves it.
"""

from __future__ import annotations

import argparse
import logging
import signal
import threading
import time
from typing import Any

from laplace_server import ServerLHC
from laplace_server.protocol import DEVICE_MOTOR
from laplace_server.security import ServerSecurity

SPEED = 5.0  # mm/s
PERIOD = 0.02  # s between two updates of what clients read


class Stage:
    """Moves each axis to its target at SPEED. Positions are in mm.

    Targets are set in the server's thread while the main thread moves the axes, hence the lock.
    """

    def __init__(self, axes: int) -> None:
        self._lock = threading.Lock()
        self._positions = [0.0] * axes
        self._targets = [0.0] * axes

    def move_to(self, targets: dict[int, float]) -> None:
        with self._lock:
            for axis, target in targets.items():
                self._targets[axis] = target

    def step(self, elapsed_s: float) -> list[float]:
        reach = SPEED * elapsed_s
        with self._lock:
            self._positions = [
                position + max(-reach, min(reach, target - position))
                for position, target in zip(self._positions, self._targets, strict=True)
            ]
            return list(self._positions)


def wanted_targets(positions: Any, axes: int) -> dict[int, float]:
    """The axes a client wants to move, from [1.5, 2.0] or {"0": 1.5}.

    Raises ValueError or TypeError for what makes no sense: clients can send anything.
    """
    if not isinstance(positions, (dict, list)):
        raise TypeError(f"positions are a list or a dict, got {type(positions).__name__}")
    pairs = positions.items() if isinstance(positions, dict) else enumerate(positions)
    targets = {int(index): float(value) for index, value in pairs if value is not None}
    for axis, target in targets.items():
        if not 0 <= axis < axes or not abs(target) <= 100.0:  # also refuses NaN
            raise ValueError(f"axis {axis} cannot go to {target} mm")
    return targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="tcp://127.0.0.1:5555")
    parser.add_argument("--keys", metavar="FOLDER", help="whom to serve (default: everybody)")
    parser.add_argument("--seconds", type=float, help="end after this time (default: never)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")

    stage = Stage(axes=2)
    server = ServerLHC(
        name="stage",
        address=options.address,
        freedom=2,
        device=DEVICE_MOTOR,
        data={"positions": [0.0, 0.0]},
        security=ServerSecurity.from_folder(options.keys) if options.keys else None,
    )

    def on_position_changed(positions: Any) -> None:
        # An exception here is logged by the server; the stage then stays where it is.
        targets = wanted_targets(positions, server.freedom)
        print(f"moving to {targets}", flush=True)
        stage.move_to(targets)

    server.set_on_position_changed(on_position_changed)
    server.set_on_saving_path_changed(lambda path: print(f"saving to {path}", flush=True))

    last = start = time.monotonic()
    # So that SIGTERM, as of a service that is stopped, ends it as Ctrl-C does: with a goodbye.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.start()
        print(f"stage: listening on port {server.server_port}", flush=True)
        while server.is_alive():  # false after a client's STOP
            time.sleep(PERIOD)
            now = time.monotonic()
            server.set_data({"positions": stage.step(now - last), "time": time.time()})
            last = now
            if options.seconds is not None and now - start > options.seconds:
                break
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
    print("stage: stopped", flush=True)


if __name__ == "__main__":
    main()
