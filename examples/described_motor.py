"""A stage that says what its data is, and refuses what it cannot do.

    python described_motor.py

Server and client are in one process here so that one file shows both ends. On the command line,
`laplace-server info ADDRESS` shows the same as a table.
"""

from __future__ import annotations

import logging

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.errors import Busy, OutsideLimits
from laplace_server.protocol import DEVICE_MOTOR


def main() -> None:
    # What is refused is logged as a warning; here the client shows it.
    logging.getLogger("laplace.server").setLevel(logging.ERROR)
    server = ServerLHC(
        name="stage",
        address="tcp://127.0.0.1:*",  # a free port
        freedom=2,
        device=DEVICE_MOTOR,
        data={"positions": [0.0, 0.0], "moving": [False, False]},
        describe={
            "positions": {
                "dtype": "float64",
                "shape": (2,),
                "unit": "mm",
                "limits": [(-50, 50), (0, 25)],  # of each axis
                "writable": True,  # SET moves it
                "moving": "moving",  # the key that is true while it moves
                "text": "where the axes are",
            },
            "moving": {"dtype": "bool", "shape": (2,), "text": "which axes move"},
        },
        check_limits=True,
        when_moving="busy",
    )

    def move(positions: list[float | None]) -> None:
        # A real one would begin to move here, and put `moving` to false when it has arrived.
        moving = [target is not None for target in positions]
        server.set_data({"positions": [0.0, 0.0], "moving": moving}, copy=True)

    server.set_on_position_changed(move)
    with server, ClientLHC(f"tcp://127.0.0.1:{server.server_port}", name="scan") as client:
        stage = client.describe()
        for key, described in stage.keys.items():
            print(f"{key}: {described.dtype}, {described.unit or 'no unit'}: {described.text}")
        positions = stage.keys["positions"]
        print("axis 1 goes from {} to {}".format(*positions.limits_of(1) or ()), positions.unit)
        try:
            client.set([10.0, 30.0])
        except OutsideLimits as error:
            print(error)
        client.set([10.0, None])
        try:
            client.set([20.0, None])
        except Busy as error:
            print(error)


if __name__ == "__main__":
    main()
