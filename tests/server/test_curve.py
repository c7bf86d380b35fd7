"""What is said over CURVE, by pyzmq's sockets, is answered as over NULL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import zmq
from support.keys import Pair, keys_of, new_pair
from support.peers import PATIENCE_S, Peer
from support.raw_peers import RawPeer, connect_tcp
from support.serving import Gate, serving
from support.stream_peers import Book, WirePeer, at_rest
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.security import ServerSecurity
from laplace_server.stats import Refusal

pytestmark = pytest.mark.transports("tcp")

Connect = Callable[..., Peer]
SIZES = [0, 1, 150, 221, 222, 223, 255, 256, 8191, 8192, 65535, 65536, 1 << 20, 5 << 20]


@pytest.fixture
def own() -> Pair:
    return new_pair()


@pytest.fixture
def client() -> Pair:
    return new_pair()


@pytest.fixture
def security(own: Pair, client: Pair) -> ServerSecurity:
    return ServerSecurity(own.secret, {client.public: "admin"})


@pytest.fixture
def options(own: Pair, client: Pair) -> dict[int, Any]:
    return keys_of(client, own.public)


@pytest.fixture
def server(security: ServerSecurity) -> Iterator[ServerLHC]:
    with serving(security=security) as server:
        server.register_handler("ECHO", lambda _server, message, _target: message["payload"])
        yield server


# ---- requests


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.DEALER], ids=["REQ", "DEALER"])
def test_requests_and_replies_of_all_sizes(
    server: ServerLHC, options: dict[int, Any], kind: int
) -> None:
    with Peer(server, kind, options=options) as peer:
        for size in SIZES:
            payload = {"text": "x" * size}
            assert peer.ask("ECHO", payload)["payload"] == payload
        server.set_data({"numbers": [1.5] * 300_000})
        assert peer.get() == {"numbers": [1.5] * 300_000}
    assert server.stats().waiting_bytes == 0


def test_many_small_ones_around_a_large_one(server: ServerLHC, options: dict[int, Any]) -> None:
    with Peer(server, zmq.DEALER, options=options) as peer:
        large = {"text": "x" * (3 << 20)}
        for i in range(400):
            peer.send("ECHO", large if i == 200 else {"i": i})
            peer.send("PING")
        for i in range(400):
            assert peer.receive()["payload"] == (large if i == 200 else {"i": i})
            assert peer.receive()["cmd"] == "PING"


def test_who_reads_nothing_holds_up_nobody(server: ServerLHC, options: dict[int, Any]) -> None:
    server.set_data({"text": "x" * (4 << 20)})
    deaf_options = {**options, zmq.RCVHWM: 1}
    with Peer(server, zmq.DEALER, options=deaf_options) as deaf:
        for _ in range(8):
            deaf.send("GET")
        wait_until(lambda: server.stats().parked_bytes > 0, "replies wait")
        with Peer(server, options=options) as peer:
            for _ in range(20):
                assert peer.ask("PING")["error_msg"] is None
        for _ in range(8):
            assert len(deaf.receive()["payload"]["data"]["text"]) == 4 << 20
    wait_until(lambda: server.stats().waiting_bytes == server.stats().parked_bytes == 0, "all left")


def test_a_request_that_is_too_large_is_told_so(
    security: ServerSecurity, options: dict[int, Any]
) -> None:
    with (
        serving(security=security, max_message_bytes=10_000) as server,
        Peer(server, options=options) as peer,
    ):
        assert peer.ask("PING")["error_msg"] is None
        assert "too large" in peer.ask("SET", {"positions": "x" * 100_000})["error_msg"]
        assert server.stats().refused[Refusal.MESSAGE_SIZE] == 1


def test_heartbeats_are_answered_within_the_box(server: ServerLHC, options: dict[int, Any]) -> None:
    gate = Gate()
    server.set_on_position_changed(gate)
    beating = {zmq.HEARTBEAT_IVL: 20, zmq.HEARTBEAT_TIMEOUT: 5_000, zmq.HEARTBEAT_TTL: 60_000}
    with Peer(server, options={**options, **beating}) as peer:
        peer.send("SET", {"positions": 1})
        gate.wait_begun()
        assert peer.silent(0.5)  # dozens of them
        gate.open()
        assert peer.receive()["error_msg"] is None
    stats = server.stats()
    assert stats.connections_total == 1
    assert not any(stats.refused.values())


# ---- arrays and streams


def test_arrays_of_megabytes(server: ServerLHC, options: dict[int, Any]) -> None:
    image = np.arange(2 << 20, dtype=np.float64)
    server.set_data({"image": image}, copy=True)
    with Peer(server, zmq.DEALER, options=options) as peer:
        for _ in range(3):
            peer.send("GET ARRAYS")
            delimiter, reply, sent = peer.receive_frames()
            assert delimiter == b""
            assert b'"image"' in reply
            assert np.array_equal(np.frombuffer(sent, np.float64), image)


def test_eight_subscribers(server: ServerLHC, options: dict[int, Any]) -> None:
    server.declare_stream("s")
    book = Book(server)
    peers = [WirePeer(server, options=options) for _ in range(8)]
    try:
        for peer in peers:
            peer.subscribe("s", start="latest")

        def publish() -> None:
            for i in range(60):
                array = np.full(40_000 + i, i, np.float64) if i % 3 == 0 else None
                book.publish("s", {"i": i, "text": "x" * (i * 50)}, array)

        publisher = threading.Thread(target=publish)
        publisher.start()
        for peer in peers:
            peer.read_until(lambda peer=peer: peer.subscribers[1].next == 61, "all came")
        publisher.join(PATIENCE_S)
        seen = at_rest(server, peers)
        for peer in peers:
            subscriber = peer.subscribers[1]
            subscriber.verify(book, 1)
            subscriber.agree(seen[subscriber.who], 60)
    finally:
        for peer in peers:
            peer.close()


# ---- beside NULL


def test_what_is_common_to_all_greetings_comes_first(own: Pair, client: Pair) -> None:
    security = ServerSecurity(own.secret, {client.public: "admin"}, anonymous="view")
    with serving(security=security) as server, connect_tcp(server) as connection:
        peer = RawPeer.over(connection)
        assert peer.read_exactly(12) == b"\xff" + bytes(7) + b"\x01\x7f\x03\x01"
        connection.sendall(RawPeer.GREETING[:12])
        connection.sendall(b"N")  # which tells it
        rest = peer.read_exactly(52)
        assert rest == b"NULL".ljust(20, b"\0") + bytes(32)
        connection.sendall(RawPeer.GREETING[13:] + RawPeer.ready())
        peer.read_frame()
        peer.send(b"no JSON")
        assert peer.receive()["error_msg"] is not None
        with Peer(server, options=keys_of(client, own.public)) as other:
            assert other.ask("SET", {"positions": 1})["error_msg"] is None
