"""replay: serve a recording again."""

from __future__ import annotations

import math
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from laplace_server.cli.failures import ENDING_SIGNALS, fail, failures_told
from laplace_server.cli.recorder_views import counted
from laplace_server.cli.shown import printable

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
            fail(str(error))
        with opened:
            addresses = {name: _nth(address, n) for n, name in enumerate(opened)}
            with Replay(opened, addresses, block=math.isinf(factor)) as served:

                def end(*_: object) -> None:
                    ending.set()
                    served.end()

                for number in ENDING_SIGNALS:
                    signal.signal(number, end)
                for name, server in served.servers.items():
                    typer.echo(f"{printable(name)} at {server.address_for_client}")
                if wait:
                    served.wait_for_subscribers()
                count = served.play(factor)
                while loop and count and not ending.is_set():
                    count += served.play(factor)
                while stay and not ending.wait(0.2):
                    pass
                served.wait_until_sent(_SENT_S)
        typer.echo(f"{counted(count)} published.")


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
