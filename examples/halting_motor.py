"""A stage whose moves wait in a queue for its thread, and what HALT does then.

    python halting_motor.py

Server and client are in one process here so that one file shows both ends. On the command line,
`laplace-server halt ADDRESS` is the same HALT.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.protocol import DEVICE_MOTOR

STEP = 0.2  # mm
PERIOD = 0.01  # s


class Stage:
    """One axis behind a server, moved by a thread of its own.

    HALT drops the move that goes on and those that wait in the queue, and none that is asked for
    afterwards. A flag that the next SET takes back could be back before the thread has seen it; so
    HALTs are counted, and a move goes on while there was none since it was asked for.
    """

    def __init__(self) -> None:
        self.position = 0.0  # mm
        self._halts = 0
        self._moves: queue.Queue[tuple[float, int, Any]] = queue.Queue()
        self.server = ServerLHC(
            name="stage",
            address="tcp://127.0.0.1:*",  # a free port
            freedom=1,
            device=DEVICE_MOTOR,
            data={"positions": [self.position]},
        )
        self.server.set_on_position_changed(self.on_position_changed)
        self.server.set_on_halt(self.on_halt)
        threading.Thread(target=self._run, name="stage", daemon=True).start()

    def on_position_changed(self, positions: list[float]) -> None:
        """Runs in the server's thread, and returns at once: the stage's own does the work."""
        target = float(positions[0])
        self._moves.put((target, self._halts, self.server.begin_move()))

    def on_halt(self) -> None:
        """Runs in another thread of the server's, at any moment, also beside a callback.

        A controller that goes on by itself is told to stop here, if it may be from any thread.
        """
        self._halts += 1

    def _run(self) -> None:
        while True:
            target, halts, move = self._moves.get()
            with move:  # over at the end of this block, also where nothing has moved
                while self.position != target and halts == self._halts:
                    time.sleep(PERIOD)
                    self.position += max(-STEP, min(STEP, target - self.position))
                    self.server.set_data({"positions": [self.position]}, copy=True)


def main() -> None:
    server = Stage().server
    with server, ClientLHC(f"tcp://127.0.0.1:{server.server_port}", name="operator") as client:
        for target in (1000.0, -1000.0):
            client.set([target])  # answered at once; the second one waits for the first
        while client.get()["positions"] == [0.0]:
            time.sleep(PERIOD)
        print("moving:", client.get()["moving"])
        client.halt()
        while client.get()["moving"]:  # until the last of the two is over
            time.sleep(PERIOD)
        print(f"halted at {client.get()['positions'][0]:.1f} mm")
        print("then at", client.move([0.5], tolerance=0.01)["positions"])


if __name__ == "__main__":
    main()
