"""ping, info, get, set, save and stop: ask a server, its answer on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laplace_server.cli.described import described_lines
from laplace_server.cli.failures import failures_told
from laplace_server.cli.key_option import KeyOption, client_of
from laplace_server.cli.values import as_lines, read_positions

if TYPE_CHECKING:
    from laplace_server.client import ClientLHC

Address = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="The server's tcp://host:port, or host:port.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON, for scripts.")]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait for the answer.")
]
Positions = Annotated[
    list[str],
    typer.Argument(
        metavar="POSITIONS...",
        help="1.5 2.0 (axes in order, null leaves one alone), 0=2.5 (axis=position), or JSON.",
    ),
]
Path = Annotated[
    str | None, typer.Argument(metavar="[PATH]", help="A path on the server's machine.")
]
Saving = Annotated[
    bool | None, typer.Option("--on/--off", help="Have it begin or end saving (TOGGLE SAVING).")
]

_IN_TABLES = ("description", "methods")


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to ``app``."""
    app.command("ping")(ping)
    app.command("info")(info)
    app.command("get")(get)
    # So that -1.5 is a position; hence these commands have no short options.
    app.command("set", context_settings={"ignore_unknown_options": True})(set_positions)
    app.command("save")(save)
    app.command("stop")(stop)


def ping(
    address: Address, as_json: AsJson = False, timeout: Timeout = 2.0, key: KeyOption = None
) -> None:
    """Measure the round trip to a server.

    One PING opens the connection, a second one is measured.
    """
    with asking(address, timeout, key) as client:
        client.ping()
        seconds = client.ping()
        tell(
            as_json,
            {"address": client.address, "seconds": seconds},
            f"{client.address} answers in {seconds * 1e3:.3f} ms.",
        )


def info(
    address: Address, as_json: AsJson = False, timeout: Timeout = 2.0, key: KeyOption = None
) -> None:
    """Show what a server is: name, device, axes, commands, keys and methods."""
    from laplace_server.client.describing import description_of

    with asking(address, timeout, key) as client:
        payload = client.info()
        lines = [] if as_json else described_lines(description_of(payload, None, client.address))
        shown = {name: value for name, value in payload.items() if name not in _IN_TABLES}
        tell(as_json, payload, "\n".join([as_lines(shown), *lines]))


def get(
    address: Address, as_json: AsJson = False, timeout: Timeout = 2.0, key: KeyOption = None
) -> None:
    """Show a device's present data.

    On a terminal, long values are cut to its width; --json gives all.
    """
    with asking(address, timeout, key) as client:
        data = client.get()
        tell(as_json, data, as_lines(data))


def set_positions(
    address: Address,
    positions: Positions,
    as_json: AsJson = False,
    timeout: Timeout = 2.0,
    key: KeyOption = None,
) -> None:
    """Ask a device to move.

    Positions are in the device's own units. It may refuse them; get shows what it does.
    """
    with asking(address, timeout, key) as client:
        values = read_positions(positions)
        client.set(values)
        tell_done(as_json, client, "SET", f"takes {json.dumps(values)}.")


def save(
    address: Address,
    path: Path = None,
    on: Saving = None,
    as_json: AsJson = False,
    timeout: Timeout = 2.0,
    key: KeyOption = None,
) -> None:
    """Tell a device where to save, and with --on or --off to begin or end."""
    with asking(address, timeout, key) as client:
        if path is None and on is None:
            raise ValueError("Say where to save, PATH, or --on or --off.")
        done, said = [], []
        if on is False:  # what it saves is not to go on at the new place
            client.toggle_saving(False)
            done, said = ["TOGGLE SAVING"], ["ends saving"]
        if path is not None:
            client.save(path)
            done, said = [*done, "SAVE"], [*said, f"saves to {path}"]
        if on:
            client.toggle_saving(True)
            done, said = [*done, "TOGGLE SAVING"], [*said, "begins saving"]
        tell_done(as_json, client, ", ".join(done), ", ".join(said))


def stop(
    address: Address, as_json: AsJson = False, timeout: Timeout = 2.0, key: KeyOption = None
) -> None:
    """End a server."""
    with asking(address, timeout, key) as client:
        client.stop_server()
        tell_done(as_json, client, "STOP", "stops.")


@contextmanager
def asking(address: str, timeout: float, key: str | None) -> Iterator[ClientLHC]:
    """Give a client for a block; expected failures in it become the command's."""
    with failures_told(), client_of(address, timeout, key) as client:
        yield client


def tell(as_json: bool, values: dict[str, Any], text: str) -> None:
    """Print the values for scripts, or the text for people."""
    typer.echo(json.dumps(values) if as_json else text)


def tell_done(as_json: bool, client: ClientLHC, cmd: str, text: str) -> None:
    """Say that a command was carried out: the text goes on behind the server's address."""
    values = {"address": client.address, "cmd": cmd, "ok": True}
    tell(as_json, values, f"{client.address} {text}")
