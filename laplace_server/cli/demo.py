"""demo: how fast simulated devices answer and stream, idle and while Python computes there."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from laplace_server.cli.demo_streams import Publisher, StreamRow, closing_of, table_of
from laplace_server.cli.failures import ENDING_SIGNALS, fail, failures_told
from laplace_server.cli.measuring_process import TIMEOUT_S, MeasuringProcess

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
    seconds: Annotated[float, typer.Option(min=1.0, help="How long to measure in all.")] = 7.0,
) -> None:
    """Show how fast devices answer and stream, idle and busy.

    Two simulated devices are read over TCP by a client in another process, and a stream of a third
    is followed there, first with nothing else to do, then with a Python thread computing in the
    devices' process.
    """
    # Ctrl-C waits for the next step, so that it finds no half-started process or thread.
    interrupted = threading.Event()
    for number in ENDING_SIGNALS:
        signal.signal(number, lambda *_: interrupted.set())
    with failures_told():
        from rich.console import Console

        console = Console(highlight=False)
        console.print(
            "A simulated motor, camera and laser run in this process. Over TCP, clients in\n"
            "other processes read the first two, one request at a time, and follow a\n"
            "stream of the laser. They check every answer and every update.\n"
        )
        rows, stream_rows = _measure_all(seconds / 8, interrupted)
        console.print(_table(rows))
        console.print(table_of(stream_rows))
        console.print(_closing(rows), soft_wrap=True)
        console.print(closing_of(stream_rows), soft_wrap=True)


def _measure_all(seconds: float, interrupted: threading.Event) -> tuple[list[Row], list[StreamRow]]:
    """Measure everything idle and then beside a computing thread, each for ``seconds``."""
    from laplace_server.sim import SimulatedCamera, SimulatedMotor, SimulatedShot

    rows: list[Row] = []
    stream_rows: list[StreamRow] = []
    with ExitStack() as stack:
        motor = stack.enter_context(SimulatedMotor("motor"))
        camera = stack.enter_context(SimulatedCamera("camera"))
        laser = stack.enter_context(SimulatedShot("laser"))
        stack.enter_context(_moving(motor.local_address))
        publisher = Publisher(laser.server, seconds, interrupted)
        for beside, load in (("idle", nullcontext()), ("computing", _computing())):
            with load:
                for sim, key, what in (
                    (motor, "positions", "positions"),
                    (camera, "image", "image, 16 x 12"),
                ):
                    found = _measure(sim, key, seconds, interrupted)
                    rows.append(Row(sim.server.name, what, beside, found))
                stream_rows += publisher.measure(beside)
    return rows, stream_rows


def _measure(
    sim: SimulatedDevice, key: str, seconds: float, interrupted: threading.Event
) -> dict[str, Any]:
    """Let a process of its own read the device, and return what it found."""
    client = MeasuringProcess(
        interrupted,
        "laplace_server.cli.measure",
        sim.local_address,
        "--key",
        key,
        "--seconds",
        str(seconds),
        "--timeout",
        str(TIMEOUT_S),
    )
    found = client.result(seconds)
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
        with ClientLHC(address, name="demo", timeout_s=TIMEOUT_S) as client:
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
    pairs = [
        f"{computing.reads_per_s:,.0f} reads/s of the {idle.device} (idle: {idle.reads_per_s:,.0f})"
        for idle, computing in zip(rows[:half], rows[half:], strict=True)
    ]
    answers = sum(int(row.found["reads"]) for row in rows)
    return (
        f"Shown: {answers:,} answers, all checked. With a Python thread computing in the devices' "
        f"process: {' and '.join(pairs)}. Whatever else this machine does changes these figures."
    )
