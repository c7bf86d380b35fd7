"""Simulated devices: servers that behave like real ones, for demos, examples and tests.

    with SimulatedMotor(address="tcp://*:5555") as motor:
        print(motor.server.address_for_client)
        input("Enter ends it. ")

Each one owns a ServerLHC and a thread that advances the simulation and publishes its data. Each
has a stream: "images" of a camera, "shots" of a shot counter, "data" of the others, with all that
GET shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laplace_server.sim.camera import SimulatedCamera
from laplace_server.sim.device import SimulatedDevice
from laplace_server.sim.gas import SimulatedGas
from laplace_server.sim.motor import SimulatedMotor
from laplace_server.sim.shot import SimulatedShot

__all__ = [
    "SIMULATED_DEVICES",
    "SimulatedCamera",
    "SimulatedDevice",
    "SimulatedGas",
    "SimulatedMotor",
    "SimulatedShot",
    "make_device",
]


SIMULATED_DEVICES: Mapping[str, type[SimulatedDevice]] = {
    kind.device: kind for kind in (SimulatedMotor, SimulatedCamera, SimulatedGas, SimulatedShot)
}


def make_device(device: str, **options: Any) -> SimulatedDevice:
    """Return a simulated device of a kind from ``SIMULATED_DEVICES``, such as "MOTOR".

    ``options`` are those of its class: ``name``, ``address`` and more.

    Raises:
        ValueError: there is no simulation of that kind.
    """
    kind = SIMULATED_DEVICES.get(device)
    if kind is None:
        raise ValueError(f"No simulated device {device!r}. Choose among {list(SIMULATED_DEVICES)}.")
    return kind(**options)
