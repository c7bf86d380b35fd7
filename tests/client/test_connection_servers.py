"""A client's own connection: to servers of ours over each transport, and to sockets of libzmq."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import zmq
from support.machine import have_ipv6
from support.peers import PATIENCE_S, request
from support.serving import serving

from laplace_server import ServerLHC
from laplace_server.client._frames import CLOSED_EARLY, DEALER, REQ, Connection

no_server = pytest.mark.transports()


Bound = Callable[..., tuple[zmq.Socket[bytes], int]]


@pytest.fixture
def bound(context: zmq.Context[Any]) -> Iterator[Bound]:
    """Make sockets of libzmq, with their ports."""
    sockets: list[zmq.Socket[bytes]] = []

    def make(kind: int, options: Mapping[int, int] = {}) -> tuple[zmq.Socket[bytes], int]:
        socket = context.socket(kind)
        sockets.append(socket)
        for option, value in options.items():
            socket.setsockopt(option, value)
        return socket, socket.bind_to_random_port("tcp://127.0.0.1")

    yield make
    for each in sockets:
        each.close(linger=0)


def connection_to(server: ServerLHC, kind: int = REQ) -> Connection:
    return Connection(kind, "127.0.0.1", int(server.server_port))


def ask(connection: Connection, body: bytes) -> Any:
    assert connection.send([b"", body])
    frames = connection.receive(PATIENCE_S)
    assert frames is not None, connection.trouble
    assert frames[0] == b""
    return json.loads(frames[1])


@pytest.mark.parametrize("kind", [REQ, DEALER])
def test_requests(server: ServerLHC, kind: int) -> None:
    connection = connection_to(server, kind)
    for _ in range(100):
        assert ask(connection, request("GET"))["payload"]["data"] == {"x": 1.5}
    assert connection.connected
    assert connection.ready
    assert not connection.broken
    assert not connection.refused
    assert connection.trouble == ""
    assert connection.unsent == 0
    connection.close()
    assert connection.fileno() == -1


def test_many_requests_in_flight(server: ServerLHC) -> None:
    connection = connection_to(server, DEALER)
    for number in range(2000):
        assert connection.send([b"", request("GET", sender=str(number))])
    for number in range(2000):
        frames = connection.receive(PATIENCE_S)
        assert frames is not None
        assert json.loads(frames[1])["to"] == str(number)
    connection.close()


def test_large_requests_and_replies(server: ServerLHC) -> None:
    server.register_handler("ECHO", lambda server, message, target: message["payload"])
    connection = connection_to(server)
    for size in (1, 200, 2000, 2100, 10_000, 70_000, 1 << 20, 20 << 20):
        payload = {"text": "x" * size}
        assert ask(connection, request("ECHO", payload))["payload"] == payload
    connection.close()


@pytest.mark.skipif(not have_ipv6(), reason="no IPv6 here")
def test_ipv6() -> None:
    with serving("tcp://[::1]:*", data={"x": 1}) as server:
        for host in ("::1", "0:0::1", "::1%1"):
            connection = Connection(REQ, host, int(server.server_port))
            assert ask(connection, request("GET"))["payload"]["data"] == {"x": 1}
            connection.close()


@pytest.mark.transports("tcp")
def test_one_that_the_server_refuses_says_so_before_anything_is_sent() -> None:
    with serving(max_connections=1) as server:
        first = connection_to(server)
        ask(first, request("PING"))
        second = connection_to(server)
        assert second.send([b"", request("PING")])
        assert second.receive(PATIENCE_S) is None
        assert second.broken
        assert second.connected
        assert not second.ready
        assert not second.refused
        assert second.trouble == CLOSED_EARLY
        second.close()
        first.close()


@pytest.mark.transports("tcp")
def test_an_error_answer_comes_while_the_request_is_still_leaving() -> None:
    with serving(max_message_bytes=100_000) as server:
        connection = connection_to(server)
        body = bytes(200 << 20)
        assert connection.send([b"", body])
        frames = connection.receive(PATIENCE_S)
        assert frames is not None
        assert "max_message_bytes" in json.loads(frames[1])["error_msg"]
        assert connection.unsent > 0
        assert connection.receive(PATIENCE_S) is None
        assert connection.broken
        assert connection.unsent == 0
        connection.close()


@no_server
@pytest.mark.parametrize("socket_type", [zmq.ROUTER, zmq.REP, zmq.DEALER])
def test_sockets_of_libzmq(bound: Bound, socket_type: int) -> None:
    socket, port = bound(socket_type)
    socket.rcvtimeo = int(PATIENCE_S * 1000)
    connection = Connection(REQ if socket_type == zmq.REP else DEALER, "127.0.0.1", port)
    for number in range(200):
        body = b"%d" % number * (1 + number * number)
        assert connection.send([b"", body])
        while connection.unsent:
            connection.wait(PATIENCE_S)
        frames = socket.recv_multipart()
        assert frames[-1] == body
        socket.send_multipart(frames)
        assert connection.receive(PATIENCE_S) == [b"", body]
    connection.close()


@no_server
def test_heartbeats_of_a_peer_are_answered(bound: Bound) -> None:
    """libzmq ends a connection on which its PINGs are not."""
    options = {zmq.HEARTBEAT_IVL: 20, zmq.HEARTBEAT_TIMEOUT: 1000}
    _, port = bound(zmq.ROUTER, options)
    connection = Connection(DEALER, "127.0.0.1", port)
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        assert connection.receive(0.1) is None
        assert not connection.broken
    connection.close()


@no_server
def test_sockets_that_do_not_fit(bound: Bound) -> None:
    for socket_type in (zmq.PUB, zmq.REQ, zmq.PULL):
        _, port = bound(socket_type)
        connection = Connection(REQ, "127.0.0.1", port)
        assert connection.receive(PATIENCE_S) is None
        assert connection.broken
        assert not connection.ready
        assert connection.trouble in (
            "its socket is of a type that does not fit",
            CLOSED_EARLY,  # where libzmq is the first to see it
        )
        connection.close()
