"""demo: how fast two simulated devices answer, idle and while Python computes beside them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from laplace_server.cli.failures import ENDING_SIGNALS, fail, failures_told

if TYPE_CHECKING:
    from rich.table import Table

    from laplace_server.sim import SimulatedDevice


class Row(NamedTuple):
    """One measurement: what was read, beside what, and what the measuring client found."""

    device: str
    what: str
    beside: str
    found: dict[str, float]

    @property
    def reads_per_s(self) -> float:
        """Answers per second of one client in lockstep."""
        return self.found["reads"] / self.found["seconds"]


def demo(
    seconds: Annotated[float, typer.Option(min=1.0, help="How long to read in all.")] = 9.0,
) -> None:
    """Show how fast devices answer, idle and busy.

    Two simulated devices are read over TCP by a client in another process, first with nothing
    else to do, then with a Python thread computing in the devices' process.
    """
    # Ctrl-C waits for the next step, so that it finds no half-started process or thread.
    interrupted = threading.Event()
    for number in ENDING_SIGNALS:
        signal.signal(number, lambda *_: interrupted.set())
    with failures_told():
        from rich.console import Console

        console = Console(highlight=False)
        console.print(
            "A simulated motor and camera run in this process. A client in another process\n"
            "reads them over TCP, one request at a time, and checks every answer.\n"
        )
        rows = _measure_all(seconds, interrupted)
        console.print(_table(rows))
        console.print(_closing(rows), soft_wrap=True)


def _measure_all(seconds: float, interrupted: threading.Event) -> list[Row]:
    from laplace_server.sim import SimulatedCamera, SimulatedMotor

    rows = []
    with ExitStack() as stack:
        motor = stack.enter_context(SimulatedMotor("motor"))
        camera = stack.enter_context(SimulatedCamera("camera"))
        stack.enter_context(_moving(motor.local_address))
        for beside, load in (("idle", nullcontext()), ("computing", _computing())):
            with load:
                for sim, key, what in (
                    (motor, "positions", "positions"),
                    (camera, "image", "image, 16 x 12"),
                ):
                    found = _measure(sim, key, seconds / 4, interrupted)
                    rows.append(Row(sim.server.name, what, beside, found))
    return rows


def _measure(
    sim: SimulatedDevice, key: str, seconds: float, interrupted: threading.Event
) -> dict[str, Any]:
    """Let a process of its own read the device, and return what it found."""
    command = [sys.executable, "-m", "laplace_server.cli.measure", sim.local_address]
    command += ["--key", key, "--seconds", str(seconds)]
    # Ctrl-C reaches every process of the terminal; out of its group, the client leaves the
    # message to this process, which ends it.
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    # Run from where this package is, the client finds the same one, wherever the demo was started.
    client = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **apart,
    )
    deadline = time.monotonic() + seconds + 30
    while True:
        try:
            output, errors = client.communicate(timeout=0.1)
            break
        except subprocess.TimeoutExpired:
            if interrupted.is_set() or time.monotonic() > deadline:
                client.kill()
    if interrupted.is_set():
        raise KeyboardInterrupt
    if client.returncode != 0:
        fail(f"the measuring client failed: {errors.strip()}")
    found: dict[str, Any] = json.loads(output)
    if not found["updates"]:
        fail(f"the data of the {sim.server.name} did not change while it was read.")
    return found


@contextmanager
def _computing() -> Iterator[None]:
    """Keep a Python thread busy: it takes the GIL whenever it can get it."""
    ending = threading.Event()

    def compute() -> None:
        while not ending.is_set():
            sum(number * number for number in range(1000))

    thread = threading.Thread(target=compute, name="computing")
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@contextmanager
def _moving(address: str) -> Iterator[None]:
    """Send the motor to and fro, as a program that scans would."""
    from laplace_server.client import ClientLHC
    from laplace_server.errors import LaplaceError

    ending = threading.Event()

    def move() -> None:
        target = 10.0
        with ClientLHC(address, name="demo") as client:
            while not ending.is_set():
                try:
                    client.set([target, -target])
                except LaplaceError as error:
                    # The table still tells what it measured.
                    print(f"laplace-server: {error}", file=sys.stderr)
                target = -target
                ending.wait(1.0)

    thread = threading.Thread(target=move, name="moving")
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def _table(rows: list[Row]) -> Table:
    from rich.table import Table

    table = Table()
    for header in ("device", "read", "its process"):
        table.add_column(header)
    for header in ("reads/s", "p50 (ms)", "p99 (ms)"):
        table.add_column(header, justify="right")
    for row in rows:
        table.add_row(
            row.device,
            row.what,
            row.beside,
            f"{row.reads_per_s:,.0f}",
            f"{row.found['p50_ms']:.3f}",
            f"{row.found['p99_ms']:.3f}",
            end_section=row is rows[len(rows) // 2 - 1],
        )
    return table


def _closing(rows: list[Row]) -> str:
    half = len(rows) // 2
    shares = []
    for idle, computing in zip(rows[:half], rows[half:], strict=True):
        share = computing.reads_per_s / idle.reads_per_s
        shares.append(f"{share:.0%} for the {idle.device}")
    answers = sum(int(row.found["reads"]) for row in rows)
    return (
        f"Shown: {answers:,} answers, all checked. With a Python thread computing in the devices' "
        f"process, reads/s were {' and '.join(shares)} of what they are idle."
    )
