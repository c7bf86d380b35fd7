"""move and halt: a device's movement, waited for and stopped."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laplace_server.cli.failures import USAGE, fail
from laplace_server.cli.key_option import KeyOption
from laplace_server.cli.requests import Address, AsJson, Positions, Timeout, asking, tell, tell_done
from laplace_server.cli.values import as_lines, check_seconds, read_positions

if TYPE_CHECKING:
    from laplace_server.client import ClientLHC

_ANSWER_S = 2.0
_LINE_S = 0.2

Tolerance = Annotated[
    float,
    typer.Option("--tolerance", metavar="DISTANCE", help="How near is near enough, per axis."),
]
MoveTimeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="How long the move may take.")
]


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to ``app``."""
    # As of "set": -1.5 is a position.
    app.command("move", context_settings={"ignore_unknown_options": True})(move)
    app.command("halt")(halt)


def move(
    address: Address,
    positions: Positions,
    tolerance: Tolerance = 1e-6,
    as_json: AsJson = False,
    timeout: MoveTimeout = 60.0,
    key: KeyOption = None,
) -> None:
    """Move a device, and wait until it is there.

    Says where it is on the way. Positions and the distance are in the device's own units. Ctrl-C
    ends the waiting, not the move: halt does.
    """
    with asking(address, min(timeout, _ANSWER_S), key) as client:
        check_seconds("--timeout", timeout)
        wanted = read_positions(positions)
        way = _Way(_moved_key(client), silent=as_json)
        try:
            data = client.move(wanted, tolerance=tolerance, timeout_s=timeout, progress=way.take)
        except TypeError as error:  # JSON, but no positions
            fail(str(error), USAGE)
        values = {"address": client.address, "cmd": "SET", "ok": True, "data": data}
        tell(as_json, values, f"{client.address} has arrived{way.end_of(data)}.")


def halt(
    address: Address, as_json: AsJson = False, timeout: Timeout = 2.0, key: KeyOption = None
) -> None:
    """Stop a device's movement.

    At once, also while it carries out another request. The server goes on: stop ends that.
    """
    with asking(address, timeout, key) as client:
        client.halt()
        tell_done(as_json, client, "HALT", "has halted its device.")


class _Way:
    """Says where a device is, a few times a second and where it has changed."""

    def __init__(self, key: str, silent: bool) -> None:
        self._key = key
        self._silent = silent
        self._said = ""
        self._due = 0.0

    def take(self, data: dict[str, Any]) -> None:
        """Take what the device says of itself."""
        now, line = time.monotonic(), self.line_of(data)
        if not self._silent and now >= self._due and line not in ("", self._said):
            typer.echo(line)
            self._said, self._due = line, now + _LINE_S

    def line_of(self, data: dict[str, Any]) -> str:
        """Where the device is; nothing where its data does not say."""
        return as_lines({self._key: data[self._key]}) if self._key in data else ""

    def end_of(self, data: dict[str, Any]) -> str:
        """The end of a sentence, of where it has arrived."""
        return f" at {json.dumps(data[self._key])}" if self._key in data else ""


def _moved_key(client: ClientLHC) -> str:
    """Under which key the device's data has its positions."""
    from laplace_server.client.describing import description_of
    from laplace_server.errors import NotPermitted

    with suppress(NotPermitted):
        return description_of(client.info(), None, client.address).moved_key or "positions"
    return "positions"
