"""serve: a simulated device until Ctrl-C."""

from __future__ import annotations

import json
import signal
import threading
from enum import Enum
from typing import Annotated

import typer

from laplace_server.cli.failures import ENDING_SIGNALS, failures_told


class DeviceKind(str, Enum):
    """What ``laplace_server.sim`` can simulate, known here without importing it."""

    MOTOR = "MOTOR"
    CAMERA = "CAMERA"
    GAS = "GAS"
    SHOT = "SHOT"


def serve(
    name: Annotated[str, typer.Option(help="What the server calls itself.")] = "simulated",
    device: Annotated[
        DeviceKind, typer.Option(case_sensitive=False, help="What it simulates.")
    ] = DeviceKind.MOTOR,
    address: Annotated[
        str, typer.Option(help="Where it listens: tcp://*:5555 is every network of this machine.")
    ] = "tcp://*:5555",
    remote_stop: Annotated[
        bool, typer.Option("--remote-stop/--no-remote-stop", help="Whether clients may end it.")
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON once it serves, for scripts.")
    ] = False,
) -> None:
    """Run a simulated device.

    It serves until Ctrl-C, SIGTERM or a client's STOP, and then exits with status 0.
    """
    ending = threading.Event()
    # From the start, so that an early Ctrl-C also ends in order.
    for number in ENDING_SIGNALS:
        signal.signal(number, lambda *_: ending.set())
    with failures_told():
        from laplace_server.sim import make_device

        with make_device(device.value, name=name, address=address, remote_stop=remote_stop) as sim:
            where = sim.server.address_for_client
            if as_json:
                facts = {
                    "name": name,
                    "device": device.value,
                    "address": where,
                    "local_address": sim.local_address,
                }
                typer.echo(json.dumps(facts))
            else:
                typer.echo(f"Simulated {device.value} {name!r} at {where} (Ctrl-C ends it).")
            # In steps, since Windows does not interrupt a wait for Ctrl-C, and since a client
            # may have ended the server.
            while not ending.wait(0.2) and sim.is_alive():
                pass
        if not as_json:
            typer.echo("Ended." if ending.is_set() else "Ended by a client.")
