"""replay: serve a recording again."""

from __future__ import annotations

import math
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from laplace_server.cli.failures import ENDING_SIGNALS, fail, failures_told
from laplace_server.cli.log_option import errors_not_logged
from laplace_server.cli.recorder_views import counted, duration
from laplace_server.cli.shown import printable
from laplace_server.cli.values import full_address

if TYPE_CHECKING:
    from laplace_server.recording import Recording

_SENT_S = 60.0


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One of the recording's files.")],
    address: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Where the first server listens; further ones take the next ports.",
        ),
    ] = "tcp://127.0.0.1:*",
    speed: Annotated[
        str, typer.Option(metavar="N|full", help="2 is twice as fast as it came.")
    ] = "1",
    wait: Annotated[
        bool, typer.Option("--wait", help="Begin when each stream has a subscriber.")
    ] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Begin anew at the end.")] = False,
    stay: Annotated[
        bool, typer.Option("--stay", help="Serve on at the end, until Ctrl-C.")
    ] = False,
) -> None:
    """Serve a recording again, as the devices that it was made of.

    With --speed full, publishing waits for who follows. It ends with the recording, or by Ctrl-C.
    """
    ending = threading.Event()
    with failures_told():
        factor = _speed(speed)
        try:
            from laplace_server import recording
            from laplace_server.recording.replay import Replay
        except ImportError as error:
            fail(str(error))
        try:
            opened = recording.open(file)
        except OSError as error:
            if file.is_dir():
                fail(f"{file} is a folder: give one of the recording's files.")
            fail(str(error))
        with opened:
            addresses = {name: _nth(full_address(address), n) for n, name in enumerate(opened)}
            with errors_not_logged():
                made = Replay(opened, addresses, block=math.isinf(factor))
            with made as served:

                def end(*_: object) -> None:
                    ending.set()
                    served.end()

                for number in ENDING_SIGNALS:
                    signal.signal(number, end)
                for name, server in served.servers.items():
                    typer.echo(f"{printable(name)} at {server.address_for_client}")
                typer.echo(_length(opened, factor))
                if wait:
                    served.wait_for_subscribers()
                try:
                    count = served.play(factor)
                    while loop and count and not ending.is_set():
                        count += served.play(factor)
                except OSError as error:  # the file cannot be read
                    fail(str(error))
                while stay and not ending.wait(0.2):
                    pass
                served.wait_until_sent(_SENT_S)
        typer.echo(f"{counted(count)} published.")


def _length(opened: Recording, factor: float) -> str:
    """Say how many updates there are, and how long they take."""
    streams = [each for server in opened.values() for each in server.values() if each.rows]
    text = counted(sum(each.rows for each in streams))
    if not streams or math.isinf(factor):
        return text
    times = [each.timestamps for each in streams]
    span = max(each.max() for each in times) - min(each.min() for each in times)
    return f"{text} in {duration(span / factor)}"


def _speed(text: str) -> float:
    if text == "full":
        return math.inf
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        raise ValueError(f"--speed is a positive number, or full, not {text!r}.")
    return factor


def _nth(address: str, n: int) -> str:
    start, _, port = address.rpartition(":")
    return f"{start}:{int(port) + n}" if port.isdigit() else address
