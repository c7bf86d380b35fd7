"""A stage that not everybody may move: keys, roles, and who did it in the log.

    python keys_and_roles.py

Server and clients are in one process here, with keys made for this run, so that one file shows both
ends. In a lab each key stays on its machine, in files that `laplace-server keys` makes:
docs/security.md.
"""

from __future__ import annotations

import logging

import zmq

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.errors import LaplaceError, NotPermitted
from laplace_server.protocol import DEVICE_MOTOR, LOGGER_NAME
from laplace_server.security import ClientSecurity, ServerSecurity


def main() -> None:
    logging.basicConfig(format="log: %(message)s")
    logging.getLogger(LOGGER_NAME).setLevel(logging.INFO)

    # A key has two halves. The public ones are no secrets: each side has to know the other's.
    server_public, server_secret = zmq.curve_keypair()
    anna_public, anna_secret = zmq.curve_keypair()
    display_public, display_secret = zmq.curve_keypair()

    security = ServerSecurity(server_secret)
    security.allow(anna_public, "operate", name="anna")
    security.allow(display_public, "view", name="display")
    server = ServerLHC(
        name="stage",
        address="tcp://127.0.0.1:*",  # a free port
        freedom=2,
        device=DEVICE_MOTOR,
        data={"positions": [0.0, 0.0]},
        transport="tcp",  # libzmq would be served without security
        security=security,
    )
    server.set_on_position_changed(lambda positions: server.set_data({"positions": positions}))
    anna = ClientSecurity(anna_secret, server_key=server_public)
    display = ClientSecurity(display_secret, server_key=server_public)

    with (
        server,
        ClientLHC(server.address_for_client, name="scan", security=anna) as scan,
        ClientLHC(server.address_for_client, name="wall", security=display) as wall,
    ):
        scan.set([1.5, 2.0])
        print("display sees", wall.get()["positions"])
        try:
            wall.set([0.0, 0.0])
        except NotPermitted as error:
            print("display:", error)
        print("not permitted:", dict(server.stats().not_permitted))
        # At any time, from any thread; of a folder of keys, a file that is removed does the same.
        security.revoke("anna")
        with ClientLHC(server.address_for_client, timeout_s=1.0, security=anna) as late:
            try:
                late.ping()
            except LaplaceError as error:
                print("anna:", error)


if __name__ == "__main__":
    main()
