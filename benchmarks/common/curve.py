"""Keys of a server and a client that speak CURVE, for benchmarks alone: everybody can read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zmq

if TYPE_CHECKING:
    from laplace_server.security import ClientSecurity, ServerSecurity

SERVER_PUBLIC = "8n!A<+y<C@Wbs%Il5=N-gkLgs/Af4/.@VTQd(1^%"
SERVER_SECRET = "F(UixeY6i8-8k4y7S^2ZF6!$dcMZ}}r%e-X/%AL^"
CLIENT_PUBLIC = "ZeJa^W9t8+RX8&#E%NhB[=%]vilTm/rC!T$18diB"
CLIENT_SECRET = "y+aM1Apq[u@^HPuB!.P)5BfJ7Uqx&P&BfKt8jFPW"


def server_security() -> ServerSecurity:
    """What our server is given: it serves this one client."""
    from laplace_server.security import ServerSecurity

    return ServerSecurity(SERVER_SECRET, {CLIENT_PUBLIC: "admin"})


def client_security() -> ClientSecurity:
    """What our client is given."""
    from laplace_server.security import ClientSecurity

    return ClientSecurity(CLIENT_SECRET, server_key=SERVER_PUBLIC)


def serve_over_curve(socket: zmq.Socket[bytes]) -> None:
    """Let a socket of pyzmq, not bound yet, be a server; it serves every client."""
    socket.curve_server = True
    socket.curve_secretkey = SERVER_SECRET.encode()


def ask_over_curve(socket: zmq.Socket[bytes]) -> None:
    """Let a socket of pyzmq, not connected yet, be a client."""
    socket.curve_serverkey = SERVER_PUBLIC.encode()
    socket.curve_publickey = CLIENT_PUBLIC.encode()
    socket.curve_secretkey = CLIENT_SECRET.encode()
