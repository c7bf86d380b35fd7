"""A command of one's own: HOME sends an axis to zero and answers how far it was.

    python custom_command.py

Server and client are in one process here so that one file shows both ends.
"""

from __future__ import annotations

from typing import Any

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.errors import RemoteError
from laplace_server.protocol import DEVICE_MOTOR

positions = {"x": 12.5, "y": -3.0}  # mm


def home(server: ServerLHC, message: dict[str, Any], target: Any) -> dict[str, Any]:
    """Answer HOME. Runs in the server's thread, as callbacks do, one at a time.

    `message` is all the client sent and `target` who sent it. What is returned is the payload of
    the reply; an exception becomes an error reply with its text.
    """
    axis = message["payload"].get("axis")
    if axis not in positions:
        raise ValueError(f"no axis {axis!r}, there are {sorted(positions)}")
    moved, positions[axis] = -positions[axis], 0.0
    server.set_data({"positions": dict(positions)})
    return {"axis": axis, "moved": moved}


def main() -> None:
    server = ServerLHC(
        name="stage",
        address="tcp://127.0.0.1:*",  # a free port
        freedom=2,
        device=DEVICE_MOTOR,
        data={"positions": dict(positions)},
    )
    server.register_handler("HOME", home)
    try:
        server.start()
        with ClientLHC(f"tcp://127.0.0.1:{server.server_port}", name="operator") as client:
            print("before:", client.get()["positions"])
            print("HOME x:", client.request("HOME", {"axis": "x"}))
            print("after: ", client.get()["positions"])
            try:
                client.request("HOME", {"axis": "w"})
            except RemoteError as error:
                print("HOME w:", error)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
