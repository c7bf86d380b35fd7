"""Messages that never end, or are too large: what they cost, and what their senders read."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator

import pytest
from support.machine import LINUX, memory, within
from support.peers import Peer, ask, request
from support.raw_peers import RawPeer
from support.served_apart import ServedApart, answers_at_once
from support.serving import serving
from support.waiting import wait_until

from laplace_server.stats import ErrorKind, Refusal

pytestmark = [pytest.mark.transports("tcp")]

MIB = 1 << 20
EMPTY = RawPeer.frame(b"", more=True)


def header(size: int, more: bool = False) -> bytes:
    return bytes([2 + more]) + struct.pack(">Q", size)


def endless(peer: RawPeer, first: bytes, size: int) -> Iterator[None]:
    """Send frames with "more", and go on after each piece."""
    piece = b"x" * min(size, MIB) or EMPTY * 50_000
    peer.socket.sendall(first)
    while True:
        if size:
            peer.socket.sendall(header(size, more=True))
        for _ in range(max(1, size // len(piece))):
            peer.socket.sendall(piece)
            yield


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(not LINUX, reason="measures another process's memory as Linux counts it")
@pytest.mark.parametrize("first", [b"", EMPTY], ids=["routing", "body"])
@pytest.mark.parametrize("size", [32 * MIB, 20 * MIB, 5 * MIB, 100_000, 0])
def test_endless_messages_cost_what_one_may(first: bytes, size: int) -> None:
    """With default settings; and the memory is given back."""
    with ServedApart() as server:
        answers_at_once(server)
        before = most = server.resident()
        end = time.monotonic() + 3
        while time.monotonic() < end:
            with RawPeer(server) as peer, pytest.raises(ConnectionError):
                for _ in endless(peer, first, size):
                    most = max(most, server.resident())
        answers_at_once(server)
        assert most - before < memory(80)
        # The C library keeps some of what it has seen the size of: less than one message may have.
        wait_until(lambda: server.resident() - before < memory(16), "memory is back", within(5))
        reasons = ("MESSAGE_SIZE", "MESSAGE_FRAMES", "ROUTE_SIZE")
        assert sum(server.count(f"refused.{reason}") for reason in reasons) > 0


@pytest.mark.parametrize("first", [b"", EMPTY], ids=["routing", "body"])
def test_an_endless_message_ends_its_connection_alone(first: bytes) -> None:
    with serving(max_message_bytes=10_000, max_message_frames=100) as server:
        with Peer(server) as other:
            assert other.ask("PING")["error_msg"] is None
            for size, reason in ((1000, Refusal.MESSAGE_SIZE), (0, Refusal.MESSAGE_FRAMES)):
                with RawPeer(server) as peer, pytest.raises(ConnectionError):
                    for _ in endless(peer, first, size):
                        pass
                assert server.stats().refused[reason] == 1
            assert other.ask("PING")["error_msg"] is None
        answers_at_once(server)


@pytest.mark.parametrize("size", [(1 << 62) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("flags", [2, 3, 6], ids=["last", "more", "command"])
@pytest.mark.parametrize("first", [b"", EMPTY], ids=["routing", "body"])
def test_nothing_is_kept_for_what_a_header_promises(first: bytes, flags: int, size: int) -> None:
    with serving() as server:
        with RawPeer(server) as peer:
            name = b"\x04PING" if flags == 6 else b""
            peer.socket.sendall(first + bytes([flags]) + struct.pack(">Q", size) + name)
            with pytest.raises(ConnectionError):
                while True:
                    assert "too large" in peer.receive()["error_msg"]
        refused = server.stats().refused
        assert refused[Refusal.MESSAGE_SIZE] + refused[Refusal.MALFORMED] == 1
        answers_at_once(server)


@pytest.mark.alone
@pytest.mark.skipif(not LINUX, reason="measures another process's memory as Linux counts it")
def test_memory_follows_what_has_come() -> None:
    """Fifty peers promise all that one may send, and send a little of it."""
    with ServedApart() as server:
        answers_at_once(server)
        before = server.resident()
        peers = [RawPeer(server) for _ in range(50)]
        try:
            for peer in peers:
                peer.socket.sendall(EMPTY + header(64 * MIB) + b"x" * 100_000)
            answers_at_once(server)
            assert server.resident() - before < memory(20)
        finally:
            for peer in peers:
                peer.socket.close()
        wait_until(lambda: server.count("connections") == 0, "all are gone")
        wait_until(lambda: server.resident() - before < memory(4), "memory is back", within(5))


@pytest.mark.alone
@pytest.mark.skipif(not LINUX, reason="measures another process's memory as Linux counts it")
def test_the_memory_of_a_large_body_is_given_back() -> None:
    with ServedApart() as server:
        answers_at_once(server)
        before = server.resident()
        for size in (30, 60):
            with RawPeer(server) as peer:
                peer.socket.sendall(EMPTY + header(64 * MIB))
                for _ in range(size):
                    peer.socket.sendall(b"x" * MIB)
                wait_until(lambda: server.resident() - before > 20 * MIB, "it has come")
                assert server.resident() - before < memory(66)
            wait_until(lambda: server.resident() - before < memory(4), "memory is back", within(5))
        assert server.count("connections") == 0


def test_the_sender_of_too_large_a_request_reads_why() -> None:
    """However much it sends first: an error reply, then the end, and no reset on the way."""
    with serving(max_message_bytes=100_000) as server:
        for size in (100_001, 10 * MIB):
            with RawPeer(server) as peer:
                peer.send(request("PING"))
                peer.send(b"x" * size)
                assert peer.receive()["payload"] == {"PING": "PONG"}
                assert "too large" in peer.receive()["error_msg"]
                assert peer.socket.recv(1) == b""
        assert server.stats().refused[Refusal.MESSAGE_SIZE] == 2
        assert server.stats().errors[ErrorKind.MALFORMED] == 2
        wait_until(lambda: server.stats().connections == 0, "both are gone")


def test_the_sender_of_too_many_frames_reads_why() -> None:
    with serving(max_message_frames=10) as server, RawPeer(server) as peer:
        peer.send_frames([b"program", b"", *[b"x"] * 9])
        frames = peer.receive_frames()
        assert frames[:2] == [b"program", b""]
        assert "frames" in json.loads(frames[2])["error_msg"]
        assert peer.socket.recv(1) == b""


def test_what_was_asked_before_is_answered_before() -> None:
    """A request too large does not take the answers with it that are owed for earlier ones."""
    with serving(max_message_bytes=100_000) as server, RawPeer(server) as peer:
        peer.send(request("SET", {"positions": 1}))
        peer.send(b"x" * 100_001)
        assert peer.receive()["cmd"] == "SET"
        assert "too large" in peer.receive()["error_msg"]
        assert peer.socket.recv(1) == b""


def test_routing_frames_that_cost_as_much_as_answers() -> None:
    """They go back with each answer: half of max_waiting_bytes is the most."""
    with serving(max_waiting_bytes=1 << 20) as server:
        with RawPeer(server) as peer:
            for size in (10, 1000, 400_000):
                peer.send_frames([b"r" * size, b"", request("PING")])
                assert peer.receive_frames()[0] == b"r" * size
            peer.socket.sendall(header(1 << 19, more=True))
            with pytest.raises(ConnectionError):
                peer.receive()
        assert server.stats().refused[Refusal.ROUTE_SIZE] == 1
        assert ask(server, "PING")["error_msg"] is None
