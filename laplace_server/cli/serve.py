"""serve: a simulated device until Ctrl-C."""

from __future__ import annotations

import json
import signal
import threading
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from laplace_server.cli.failures import ENDING_SIGNALS, fail, failures_told
from laplace_server.cli.log_option import LogLevel, errors_not_logged, log_from
from laplace_server.protocol import LOGGER_NAME

if TYPE_CHECKING:
    from laplace_server.security import ServerSecurity


class DeviceKind(str, Enum):
    """What ``laplace_server.sim`` can simulate, known here without importing it."""

    MOTOR = "MOTOR"
    CAMERA = "CAMERA"
    GAS = "GAS"
    SHOT = "SHOT"


class RoleOfAnonymous(str, Enum):
    """The roles that ``laplace_server.security`` knows, here without importing it."""

    VIEW = "view"
    OPERATE = "operate"
    ADMIN = "admin"


def _security(keys: Path | None, anonymous: RoleOfAnonymous | None) -> ServerSecurity | None:
    """Return what --keys and --anonymous say.

    Raises:
        ValueError, KeyFileError: it cannot be had.
    """
    if keys is None:
        if anonymous is not None:
            raise ValueError("--anonymous says who is served beside those with keys: give --keys.")
        return None
    from laplace_server.security import ServerSecurity

    role = None if anonymous is None else anonymous.value
    return ServerSecurity.from_folder(keys, anonymous=role)


def serve(
    name: Annotated[str, typer.Option(help="What the server calls itself.")] = "simulated",
    device: Annotated[
        DeviceKind,
        typer.Option(
            case_sensitive=False,
            # As they are written, and as the default is shown.
            metavar="|".join(kind.value for kind in DeviceKind),
            help="What it simulates.",
        ),
    ] = DeviceKind.MOTOR,
    address: Annotated[
        str, typer.Option(help="Where it listens: tcp://*:5555 is every network of this machine.")
    ] = "tcp://*:5555",
    remote_stop: Annotated[
        bool, typer.Option("--remote-stop/--no-remote-stop", help="Whether clients may end it.")
    ] = True,
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Serve whom this folder allows: 'keys new --folder' makes one."
        ),
    ] = None,
    anonymous: Annotated[
        RoleOfAnonymous | None,
        typer.Option(
            metavar="|".join(role.value for role in RoleOfAnonymous),
            help="Serve clients without keys, too; with --keys.",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel,
        typer.Option(
            metavar="|".join(level.value for level in LogLevel),
            help="What it logs on stderr; info has who is served, and who moves.",
        ),
    ] = LogLevel.WARNING,
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
    log_from(log_level, LOGGER_NAME)
    with failures_told():
        from laplace_server.sim import make_device

        with errors_not_logged():
            security = _security(keys, anonymous)
            try:
                made = make_device(
                    device.value,
                    name=name,
                    address=address,
                    remote_stop=remote_stop,
                    security=security,
                )
            except ImportError as error:  # there is no libsodium
                fail(str(error))
        with made as sim:
            where = sim.server.address_for_client
            if as_json:
                facts = {
                    "name": name,
                    "device": device.value,
                    "address": where,
                    "local_address": sim.local_address,
                }
                if security is not None:
                    facts["public_key"] = security.public_key
                typer.echo(json.dumps(facts))
            else:
                typer.echo(f"Simulated {device.value} {name!r} at {where} (Ctrl-C ends it).")
                if security is not None:
                    from laplace_server.server.rights_log import served

                    typer.echo(served(security.rights))
            # In steps, since Windows does not interrupt a wait for Ctrl-C, and since a client
            # may have ended the server.
            while not ending.wait(0.2) and sim.is_alive():
                pass
        if not as_json:
            typer.echo("Ended." if ending.is_set() else "Ended by a client.")
