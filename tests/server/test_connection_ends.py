"""Connections that end by halves, in silence, by their own time to live, or to make room."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import pytest
from support.machine import LINUX
from support.peers import PATIENCE_S, Peer, ask, request
from support.raw_peers import RawPeer, connect_tcp, listens
from support.serving import Gate, serving
from support.waiting import wait_until

from laplace_server.stats import Refusal

pytestmark = [pytest.mark.transports("tcp")]

MIB = 1 << 20
PONG = b"\x04\x05\x04PONG"


def is_closed(peer: RawPeer) -> bool:
    """Whether it reads the end, or an error, next. It waits for that."""
    try:
        return peer.socket.recv(1) == b""
    except ConnectionError:
        return True


def ping(peer: RawPeer, ttl: int) -> None:
    """A heartbeat; ``ttl`` in tenths of a second."""
    peer.socket.sendall(b"\x04\x07\x04PING" + ttl.to_bytes(2, "big"))


# ---- one direction has ended


@pytest.mark.parametrize("number", [1, 20])
def test_a_half_closed_peer_gets_native_answers(number: int) -> None:
    with serving() as server, RawPeer(server) as peer:
        for _ in range(number):
            peer.send(request("PING"))
        peer.socket.shutdown(socket.SHUT_WR)
        for _ in range(number):
            assert peer.receive()["payload"] == {"PING": "PONG"}
        assert is_closed(peer)
        wait_until(lambda: server.stats().connections == 0, "it is closed")


def test_a_half_closed_peer_gets_what_a_callback_answers() -> None:
    gate = Gate()
    with serving() as server, RawPeer(server) as peer:
        server.set_on_position_changed(gate)
        peer.send(request("SET", {"positions": 1}))
        peer.send(request("PING"))
        peer.socket.shutdown(socket.SHUT_WR)
        gate.wait_begun()
        assert ask(server, "PING")["error_msg"] is None
        gate.open()
        assert peer.receive()["cmd"] == "SET"
        assert peer.receive()["payload"] == {"PING": "PONG"}
        assert is_closed(peer)


def test_a_half_closed_peer_gets_a_large_answer() -> None:
    data = {"x": "y" * (8 * MIB)}
    with serving() as server, RawPeer(server) as peer:
        server.set_data(data, copy=True)
        peer.send(request("GET"))
        peer.socket.shutdown(socket.SHUT_WR)
        wait_until(lambda: server.stats().waiting_bytes > 0, "it waits")
        assert peer.receive()["payload"]["data"] == data
        assert is_closed(peer)


def test_a_half_closed_peer_that_reads_nothing_and_goes() -> None:
    with serving() as server:
        server.set_data({"x": "y" * (8 * MIB)}, copy=True)
        with RawPeer(server) as peer:
            peer.send(request("GET"))
            peer.socket.shutdown(socket.SHUT_WR)
            wait_until(lambda: server.stats().waiting_bytes > 0, "it waits")
        wait_until(lambda: server.stats().waiting_bytes == 0, "nothing waits any more")


def test_half_a_request_is_answered_by_nothing() -> None:
    whole = RawPeer.frame(b"", more=True) + RawPeer.frame(request("PING"))
    with serving() as server:
        for size in range(1, len(whole)):
            with RawPeer(server) as peer:
                peer.socket.sendall(whole[:size])
                peer.socket.shutdown(socket.SHUT_WR)
                assert is_closed(peer)
        assert server.stats().commands["PING"].native == 0


def test_what_is_on_its_way_at_the_end_arrives_although_its_peer_goes_on_sending() -> None:
    """Bytes that come after a socket is closed make that a reset, which throws the rest away."""
    data = {"x": "y" * 150_000}
    with serving() as server, RawPeer(server, receive_buffer=16 * 1024) as peer:
        server.set_data(data, copy=True)
        peer.send(request("GET"))
        wait_until(lambda: server.stats().bytes_out > 150_000, "it is answered")
        wait_until(lambda: server.stats().waiting_bytes == 0, "all of it has left")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        wait_until(lambda: not listens(server.server_port), "it ends")
        reply = bytearray()
        while more := peer.socket.recv(4096):
            reply += more
            with contextlib.suppress(BrokenPipeError):  # the server has closed: all is on its way
                peer.socket.sendall(b"?")
        stopping.join()
    size = int.from_bytes(reply[3:11], "big")
    assert len(reply) == 11 + size
    assert json.loads(reply[11:])["payload"]["data"] == data


# ---- heartbeats


def test_who_is_silent_for_longer_than_it_said_is_closed() -> None:
    with (
        serving() as server,
        RawPeer(server) as dead,
        RawPeer(server) as other,
        Peer(server) as client,
    ):
        ping(other, 0)
        ping(dead, 3)
        assert dead.read_exactly(len(PONG)) == other.read_exactly(len(PONG)) == PONG
        begun = time.monotonic()
        assert is_closed(dead)
        assert time.monotonic() - begun > 0.2
        assert server.stats().refused[Refusal.HEARTBEAT] == 1
        other.send(request("PING"))
        assert other.receive()["error_msg"] is None
        assert client.ask("PING")["error_msg"] is None


def test_whatever_it_sends_is_a_sign_of_life() -> None:
    with serving() as server, RawPeer(server) as peer:
        ping(peer, 10)
        assert peer.read_exactly(len(PONG)) == PONG
        end = time.monotonic() + 2
        while time.monotonic() < end:
            peer.send(request("PING"))
            assert peer.receive()["error_msg"] is None
        ping(peer, 0)
        assert peer.read_exactly(len(PONG)) == PONG
        assert server.stats().refused[Refusal.HEARTBEAT] == 0


def test_a_time_to_live_may_be_taken_back() -> None:
    with serving() as server, RawPeer(server) as peer, RawPeer(server) as other:
        ping(peer, 2)
        ping(peer, 0)
        ping(other, 4)
        peer.read_exactly(2 * len(PONG))
        other.read_exactly(len(PONG))
        assert is_closed(other)
        peer.send(request("PING"))
        assert peer.receive()["error_msg"] is None


# ---- as many as may be


def test_who_never_asked_goes_first() -> None:
    """The oldest of those whose handshake is over, then of those in it; who has asked stays."""
    with serving(max_connections=4) as server, contextlib.ExitStack() as stack:

        def asking() -> RawPeer:
            peer = stack.enter_context(RawPeer(server))
            peer.send(request("PING"))
            assert peer.receive()["error_msg"] is None
            return peer

        in_handshake = stack.enter_context(connect_tcp(server))
        assert in_handshake.recv(1) == b"\xff"
        asked = [asking()]
        first, second = (stack.enter_context(RawPeer(server)) for _ in range(2))
        asked.append(asking())
        assert is_closed(first)
        asked.append(asking())
        assert is_closed(second)
        assert server.stats().refused[Refusal.DISPLACED] == 2
        assert server.stats().connections == 4
        asked.append(asking())
        with contextlib.suppress(ConnectionError):
            while in_handshake.recv(100):
                pass
        assert server.stats().refused[Refusal.DISPLACED] == 3
        with connect_tcp(server) as late, contextlib.suppress(ConnectionError):
            assert late.recv(1) == b""
        assert server.stats().refused[Refusal.CONNECTIONS] == 1
        for peer in asked:
            peer.send(request("PING"))
            assert peer.receive()["error_msg"] is None
        asked.pop(0).socket.close()
        wait_until(lambda: server.stats().connections == 3, "one has gone")
        asking()


def test_as_many_as_one_address_may_have() -> None:
    with (
        serving("tcp://*:*", max_connections_per_address=2) as server,
        contextlib.ExitStack() as stack,
    ):
        peers = [stack.enter_context(RawPeer(server)) for _ in range(2)]
        for _ in range(3):
            with connect_tcp(server) as third, contextlib.suppress(ConnectionError):
                assert third.recv(1) == b""
        assert server.stats().refused[Refusal.ADDRESS] == 3
        if LINUX:  # elsewhere 127.0.0.2 is no address of the machine
            other = socket.create_connection(
                ("127.0.0.1", int(server.server_port)), PATIENCE_S, ("127.0.0.2", 0)
            )
            assert stack.enter_context(other).recv(1) == b"\xff"
        peers.pop().socket.close()
        wait_until(lambda: server.stats().connections == (2 if LINUX else 1), "one has gone")
        ask(server, "PING")
