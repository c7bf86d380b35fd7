"""Devices in processes of their own, which move in the ways that devices of the field do."""

from __future__ import annotations

from support.isolated import Child
from support.original import require_original

# What all have: ``go(positions, done)`` moves there in steps, in a thread of its own, some time
# after it was called.
_SCRIPT = """
import socket, sys, threading, time
if sys.argv[2]:
    sys.path.insert(0, sys.argv[2])
from laplace_server.server_lhc import ServerLHC

# The original does not tell which port it was given, so one is found for it.
with socket.create_server(("127.0.0.1", 0)) as finder:
    port = finder.getsockname()[1]
server = ServerLHC("device", f"tcp://127.0.0.1:{port}", 2, "MOTOR", data={"positions": [0.0, 0.0]})
at = [0.0, 0.0]
LATE_S, STEP_S = 0.1, 0.02

def show(**more):
    server.set_data({"positions": list(at), **more})

def step(positions, steps=5):
    items = positions.items() if isinstance(positions, dict) else enumerate(positions)
    wanted = {int(axis): value for axis, value in items if value is not None}
    begun = list(at)
    for n in range(1, steps + 1):
        time.sleep(STEP_S)
        for axis, value in wanted.items():
            at[axis] = begun[axis] + (value - begun[axis]) * n / steps
        yield sorted(wanted)

def later(function, *arguments):
    threading.Timer(LATE_S, function, arguments).start()

def inside(positions):
    for _ in step(positions):
        show()

def inside_told(positions):
    with server.begin_move():
        inside(positions)

def move_told(positions, move):
    for _ in step(positions):
        show()
    move.end()

def afterwards_told(positions):
    later(move_told, positions, server.begin_move())

def move_by_axis(positions):
    for axes in step(positions):
        show(moving=[axis in axes for axis in range(2)])
    show(moving=[False, False])

def afterwards_by_axis(positions):
    later(move_by_axis, positions)

def afterwards_silent(positions):
    later(inside, positions)

def overshoot(positions):
    inside([2 * value for value in positions])
    inside(positions)

def afterwards_overshooting(positions):
    later(overshoot, positions)

def says_only_moving(positions):
    move = server.begin_move()
    server.set_data({"unit": "mm"})
    later(move.end)

def nowhere(positions):
    show(moving=False)

def says_nothing(positions):
    server.set_data({"unit": "mm"})

server.set_on_position_changed(globals()[sys.argv[1]])
server.start()
print(port, flush=True)
sys.stdin.readline()
server.stop()
"""

TOLD = ["inside_told", "afterwards_told"]
SILENT = ["inside", "afterwards_by_axis", "afterwards_silent", "afterwards_overshooting"]
"""Those that can be programs of 0.2.0."""


class MovingDevice(Child):
    """One of the functions above is its SET; ``of_0_2_0``: it runs the original."""

    def __init__(self, how: str, of_0_2_0: bool = False) -> None:
        folder = str(require_original()) if of_0_2_0 else ""
        super().__init__(_SCRIPT, how, folder)
        try:
            self.address = f"tcp://127.0.0.1:{self.hear()}"
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> MovingDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
