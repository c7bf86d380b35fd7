"""Move a stage, wait until it is there, and halt it: server and client in one program.

    python move_and_wait.py
    python move_and_wait.py --address tcp://192.168.1.20:5555 --to 1.5 -2     another's stage

The stage here moves in a thread of its own, after SET was answered, as most controllers do.
"""

from __future__ import annotations

import argparse
import contextlib
import queue
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.errors import LaplaceError, NotArrived
from laplace_server.protocol import DEVICE_MOTOR

SPEED = 20.0  # mm/s
PERIOD = 0.01  # s


class Stage:
    """Two axes behind a server. Each move waits for the one before it; HALT drops them all."""

    def __init__(self) -> None:
        self.positions = [0.0, 0.0]
        self._halts = 0
        self._moves: queue.Queue[tuple[list[float], int, Any] | None] = queue.Queue()
        self.server = ServerLHC(
            name="stage",
            address="tcp://127.0.0.1:*",
            freedom=2,
            device=DEVICE_MOTOR,
            data={"positions": self.positions},
        )
        self.server.set_on_position_changed(self.on_position_changed)
        self.server.set_on_halt(self.on_halt)
        self._thread = threading.Thread(target=self._run, name="stage")

    def on_position_changed(self, positions: Any) -> None:
        # What makes no sense raises here: it is logged, and the stage stays where it is.
        target = list(self.positions)
        for axis, position in (
            positions.items() if isinstance(positions, dict) else enumerate(positions)
        ):
            if position is not None:
                target[int(axis)] = float(position)
        # From here on clients see that it moves, though nothing has moved yet.
        self._moves.put((target, self._halts, self.server.begin_move()))

    def on_halt(self) -> None:
        self._halts += 1  # what was asked for before is dropped: halting_motor.py

    def _run(self) -> None:
        while (task := self._moves.get()) is not None:
            target, halts, move = task
            with move:
                while self.positions != target and halts == self._halts:
                    time.sleep(PERIOD)
                    self.positions = [
                        at + max(-SPEED * PERIOD, min(SPEED * PERIOD, wanted - at))
                        for at, wanted in zip(self.positions, target, strict=True)
                    ]
                    self.server.set_data({"positions": self.positions, "time": time.time()})

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Give its address, and end it with the block."""
        self._thread.start()
        with self.server:
            try:
                yield f"tcp://127.0.0.1:{self.server.server_port}"
            finally:
                self.on_halt()
                self._moves.put(None)
                self._thread.join()


def use(address: str, target: list[float], seconds: float) -> None:
    with ClientLHC(address, "mover") as client:
        data = client.move(
            target,
            tolerance=0.01,
            timeout_s=seconds,
            progress=lambda data: print(data["positions"]),
        )
        print(f"arrived at {data['positions']}", flush=True)


def use_and_halt(address: str) -> None:
    with ClientLHC(address, "mover") as client:
        halting = threading.Timer(0.2, client.halt)  # as by a button of a window
        halting.start()
        try:
            client.move([100.0, 100.0])
        except NotArrived as error:
            print(f"halted at {error.positions}", flush=True)
        halting.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", help="of a stage that is there (default: its own)")
    parser.add_argument("--to", type=float, nargs="+", default=[2.0, -1.0], metavar="MM")
    parser.add_argument("--seconds", type=float, default=30.0, help="time allowed for the move")
    options = parser.parse_args()
    try:
        if options.address is not None:
            use(options.address, options.to, options.seconds)
        else:
            with Stage().serving() as address:
                use(address, options.to, options.seconds)
                use_and_halt(address)
    except LaplaceError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
