"""Methods of a device: functions that other programs call by name, with checked arguments.

    python methods.py

Server and client are in one process here so that one file shows both ends. On the command line, the
same call is `laplace-server call ADDRESS HOME axis=0`.
"""

from __future__ import annotations

from typing import Literal

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.errors import RemoteError
from laplace_server.protocol import DEVICE_MOTOR

positions = [12.5, -3.0]  # mm

server = ServerLHC(
    name="stage",
    address="tcp://127.0.0.1:*",  # a free port
    freedom=2,
    device=DEVICE_MOTOR,
    data={"positions": list(positions)},
)


@server.command("HOME")
def home(axis: int, speed: Literal["slow", "fast"] = "slow") -> float:
    """Send an axis to zero and return how far it was, in mm.

    It runs in the server's thread, as callbacks do. What it raises is the client's error.
    """
    if not 0 <= axis < len(positions):
        raise ValueError(f"no axis {axis}, there are {len(positions)}")
    was, positions[axis] = positions[axis], 0.0
    server.set_data({"positions": list(positions)}, copy=True)
    return was


def main() -> None:
    with server, ClientLHC(f"tcp://127.0.0.1:{server.server_port}", name="operator") as client:
        for method in client.describe().methods.values():
            print(method)
        print("HOME 0:", client.call("HOME", axis=0, speed="fast"), "mm")
        print("then:", client.get()["positions"])
        for arguments in ({}, {"axis": "x"}, {"axis": 0, "speed": "warp"}, {"axis": 2}):
            try:
                client.call("HOME", **arguments)
            except RemoteError as error:
                print("refused:", error)


if __name__ == "__main__":
    main()
