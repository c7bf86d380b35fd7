"""Every kind of ZeroMQ socket that may ask a server, by libzmq, which is no code of ours.

Implementations of ZMTP 3 that are not libzmq would stand here too. None is to be had from PyPI or
Debian: azmq (Python) is no longer valid Python, and Debian's JeroMQ (0.3.6) speaks ZMTP 2.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import zmq
from support.peers import PATIENCE_S, address_of, request
from support.proxy import zmq_proxy
from support.serving import MakeServer

from laplace_server import ServerLHC

HEARTBEATS = {zmq.HEARTBEAT_IVL: 20, zmq.HEARTBEAT_TIMEOUT: 20_000, zmq.HEARTBEAT_TTL: 20_000}
NAME_OF_SERVER = b"the server"
BLOCK = "x" * 300_000  # several times what a socket takes at once

# Kind of socket, options, frames before a request. What a ROUTER sends begins with whom to send to.
PEERS: dict[str, tuple[int, dict[int, Any], list[bytes]]] = {
    "REQ": (zmq.REQ, {}, []),
    "REQ correlate": (zmq.REQ, {zmq.REQ_CORRELATE: 1}, []),
    "REQ relaxed": (zmq.REQ, {zmq.REQ_CORRELATE: 1, zmq.REQ_RELAXED: 1}, []),
    "REQ named": (zmq.REQ, {zmq.ROUTING_ID: b"a name"}, []),
    "DEALER": (zmq.DEALER, {}, [b""]),
    "DEALER with a route": (zmq.DEALER, {}, [b"one", b"two" * 100, b""]),
    "DEALER with heartbeats": (zmq.DEALER, HEARTBEATS, [b""]),
    "ROUTER": (zmq.ROUTER, {zmq.CONNECT_ROUTING_ID: NAME_OF_SERVER}, [NAME_OF_SERVER, b""]),
}


class Asking:
    """A socket of one of these kinds."""

    def __init__(self, context: zmq.Context[Any], address: str, kind: str) -> None:
        number, options, self.before = PEERS[kind]
        self.socket = context.socket(number)
        for option, value in options.items():
            self.socket.setsockopt(option, value)
        self.socket.rcvtimeo = self.socket.sndtimeo = int(PATIENCE_S * 1000)
        if number == zmq.ROUTER:
            # It drops what it cannot send yet, unless told to say so.
            self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.connect(address)

    def send(self, body: bytes) -> None:
        self.socket.send_multipart([*self.before, body])

    def receive(self) -> Any:
        frames: Sequence[bytes] = self.socket.recv_multipart()
        assert frames[:-1] == self.before
        return json.loads(frames[-1])

    def ask(self, cmd: str, payload: Any = None, sender: str = "tester") -> Any:
        self.send(request(cmd, payload, sender))
        reply = self.receive()
        assert (reply["error_msg"], reply["to"]) == (None, sender)
        return reply["payload"]


@contextlib.contextmanager
def direct(server: ServerLHC) -> Iterator[str]:
    yield address_of(server)


@contextlib.contextmanager
def two_proxies(server: ServerLHC) -> Iterator[str]:
    with zmq_proxy(server) as inner, zmq_proxy(inner) as outer:
        yield outer


Way = Callable[[ServerLHC], "contextlib.AbstractContextManager[str]"]


@pytest.fixture(params=[direct, zmq_proxy, two_proxies], ids=["direct", "proxy", "two proxies"])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


@pytest.fixture
def server(make_server: MakeServer) -> ServerLHC:
    server = make_server(data={"x": [1.5]})
    server.register_handler("ECHO", lambda server, message, target: message["payload"])
    return server


@pytest.mark.parametrize("kind", PEERS)
def test_a_peer_of_each_kind(
    server: ServerLHC, context: zmq.Context[Any], way: Way, kind: str
) -> None:
    with way(server) as address:
        peer = Asking(context, address, kind)
        try:
            for number in range(5):
                assert peer.ask("PING") == {"PING": "PONG"}
                assert peer.ask("GET", sender=f"é{number}") == {"data": {"x": [1.5]}}
                block = BLOCK[: number * len(BLOCK) // 4]
                assert peer.ask("ECHO", {"block": block}) == {"block": block}
        finally:
            peer.socket.close(0)


@pytest.mark.parametrize("kind", [kind for kind in PEERS if not kind.startswith("REQ")])
def test_many_requests_on_their_way(
    server: ServerLHC, context: zmq.Context[Any], way: Way, kind: str
) -> None:
    commands = ["PING", "GET", "ECHO", "INFO"] * 100
    with way(server) as address:
        peer = Asking(context, address, kind)
        try:
            for number, cmd in enumerate(commands):
                peer.send(request(cmd, {"n": number}, sender=number + 1))
            for number, cmd in enumerate(commands):
                reply = peer.receive()
                assert (reply["to"], reply["error_msg"]) == (number + 1, None)
                if cmd == "ECHO":
                    assert reply["payload"] == {"n": number}
        finally:
            peer.socket.close(0)


def test_one_of_each_kind_at_the_same_time(
    server: ServerLHC, context: zmq.Context[Any], way: Way
) -> None:
    with way(server) as address:
        peers = {kind: Asking(context, address, kind) for kind in PEERS}
        try:
            for number in range(10):
                for kind, peer in peers.items():
                    peer.send(request("ECHO", {"is": [kind, number]}, sender=kind))
                for kind, peer in peers.items():
                    reply = peer.receive()
                    assert (reply["to"], reply["payload"]) == (kind, {"is": [kind, number]})
        finally:
            for peer in peers.values():
                peer.socket.close(0)
