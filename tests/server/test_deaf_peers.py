"""Peers that do not read: what is kept for them is bounded, and others are served."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import zmq
from support.machine import memory, within
from support.peers import Peer, ask, request
from support.raw_peers import RawPeer
from support.serving import Gate, limited, serving
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.stats import ErrorKind

BIG = {"image": "x" * (1 << 20)}


@contextlib.contextmanager
def serving_big(**arguments: Any) -> Iterator[ServerLHC]:
    """A server of 1 MiB of frozen data: every GET is answered without Python."""
    with serving(**arguments) as server:
        server.set_data(BIG, copy=True)
        yield server


@pytest.mark.alone
def test_others_are_served_while_a_peer_reads_nothing():
    with serving_big() as server, RawPeer(server) as deaf, Peer(server) as other:
        for _ in range(400):
            deaf.send(request("GET"))
        wait_until(lambda: server.stats().parked_bytes > 0, "the server keeps replies")
        slowest = 0.0
        for cmd in ("PING", "INFO", "SET") * 10:
            begun = time.monotonic()
            assert other.ask(cmd, {"positions": 1})["error_msg"] is None
            slowest = max(slowest, time.monotonic() - begun)
        begun = time.monotonic()
        assert other.ask("GET")["payload"]["data"] == BIG
        assert max(slowest, time.monotonic() - begun) < within(0.1)
        assert server.stats().parked_bytes >= 1 << 20


def test_what_a_deaf_peer_is_owed_arrives_in_order_when_it_reads():
    with serving_big() as server, RawPeer(server) as deaf:
        for i in range(350):
            deaf.send(request("GET", sender=i + 1))
        wait_until(lambda: server.stats().queue_depth > 0, "the server holds requests back")
        for i in range(350):
            reply = deaf.receive()
            assert (reply["to"], reply["payload"]["data"] == BIG) == (i + 1, True)
        wait_until(lambda: server.stats().parked_bytes == 0, "nothing is owed any more")
        assert server.stats().queue_depth == 0


def test_replies_beyond_the_budget_of_a_deaf_peer_are_dropped_and_counted():
    limits = {"kind": limited(peer_pending=8), "max_waiting_bytes": 4096}
    with serving_big(**limits) as server, RawPeer(server) as deaf, Peer(server) as other:
        for _ in range(500):
            deaf.send(request("GET"))
        wait_until(
            lambda: server.stats().errors[ErrorKind.REPLY_OVERFLOW] > 100, "replies were dropped"
        )
        stats = server.stats()
        assert stats.parked_bytes < 4096 + (2 << 20)
        assert stats.queue_depth <= 8
        assert other.ask("PING")["error_msg"] is None


def test_python_replies_to_a_deaf_peer_are_bounded_too():
    budget, size, gate = 1 << 20, 1 << 18, Gate()

    def big(server, message, target):
        if not gate.calls:
            gate()
        return {"x": "y" * size}

    with serving(max_waiting_bytes=budget) as server, RawPeer(server) as deaf:
        server.register_handler("BIG", big)
        for _ in range(900):
            deaf.send(request("BIG"))
        wait_until(lambda: server.stats().queue_depth == 900, "all are queued")
        gate.open()
        wait_until(lambda: server.stats().queue_depth == 0, "all were handled")
        stats = server.stats()
        assert stats.errors[ErrorKind.REPLY_OVERFLOW] > 100
        assert 0 < stats.parked_bytes <= budget + 2 * size
        assert ask(server, "PING")["error_msg"] is None


def test_one_connection_cannot_multiply_its_budget_by_its_routing_frames():
    """Every tag may be a program behind a proxy, but they all share one connection."""
    with serving_big(max_waiting_bytes=1 << 20) as server, RawPeer(server) as deaf:
        for i in range(500):
            deaf.send_frames([b"tag %d" % i, b"", request("GET")])
        deaf.send_frames([b"the end"])
        wait_until(lambda: server.stats().errors[ErrorKind.NO_DELIMITER], "all was received")
        assert ask(server, "PING")["error_msg"] is None
        assert server.stats().parked_bytes < 32 << 20


@pytest.mark.parametrize("size", [4, 5, 255])
def test_inventing_ids_makes_no_room_in_the_queue(size):
    gate = Gate()
    with serving(kind=limited(peer_pending=16)) as server, Peer(server, zmq.DEALER) as peer:
        server.set_on_position_changed(gate)
        for number in range(40):
            route = [number.to_bytes(size, "big"), b""]
            peer.send_frames([*route, request("SET", {"positions": number}, sender=number + 1)])
        busy = [peer.receive_frames() for _ in range(24)]
        assert server.stats().queue_depth == 16
        assert ask(server, "GET")["error_msg"] is None
        gate.open()
        done = [peer.receive_frames() for _ in range(16)]
    for frames in busy + done:
        reply = json.loads(frames[-1])
        number = reply["to"] - 1
        assert frames[0] == number.to_bytes(size, "big")
        assert (reply["error_msg"] is None) == (number < 16)
    assert gate.calls == [*range(16)]
    assert server.stats().errors[ErrorKind.BUSY] == 24


@pytest.mark.parametrize("route", [[b"%08d"], [b"%04d"], [b"r"] * 40 + [b"%d"]], ids=len)
def test_memory_held_for_a_deaf_peer_that_invents_ids_is_bounded(route):
    """What the server notes of each peer costs more than the id and a short answer."""
    budget = 4 << 20
    process = psutil.Process()
    with serving(max_waiting_bytes=budget) as server, RawPeer(server) as deaf:
        before = process.memory_info().rss
        for start in range(0, 60_000, 1000):
            numbers = range(start, start + 1000)
            routes = ([*route[:-1], route[-1] % number, b""] for number in numbers)
            deaf.socket.sendall(b"".join(deaf.message([*r, request("PING")]) for r in routes))
        deaf.send_frames([b"the end"])
        wait_until(lambda: server.stats().errors[ErrorKind.NO_DELIMITER], "all was received")
        assert server.stats().errors[ErrorKind.REPLY_OVERFLOW] > 1000
        assert process.memory_info().rss - before < memory(40)
        assert ask(server, "PING")["error_msg"] is None
    assert server.stats().parked_bytes == 0


def test_other_peers_may_still_queue_when_deaf_ones_have_filled_their_share():
    kind = limited(pending=64, peer_pending=16)
    with serving_big(kind=kind) as server:
        deaf = [RawPeer(server) for _ in range(5)]
        try:
            for peer in deaf:
                for _ in range(310):
                    peer.send(request("GET"))
            wait_until(lambda: server.stats().queue_depth >= 64, "the queue is full")
            assert ask(server, "SET", {"positions": 1})["error_msg"] is None
        finally:
            for peer in deaf:
                peer.socket.close()


def test_memory_held_for_a_deaf_peer_is_bounded_by_bytes():
    """Not by messages: libzmq's own queue holds replies of any size, too."""
    process = psutil.Process()
    with serving_big() as server, RawPeer(server) as deaf:
        before = process.memory_info().rss
        for _ in range(600):
            deaf.send(request("GET"))
        wait_until(lambda: server.stats().parked_bytes > 0, "replies are parked")
        assert process.memory_info().rss - before < memory(128)


def test_memory_held_for_routing_frames_is_bounded_too():
    """They come back with the answer, so they count like it."""
    process = psutil.Process()
    with serving() as server, RawPeer(server) as deaf:
        before = process.memory_info().rss
        for _ in range(600):
            deaf.send_frames([b"r" * (1 << 20), b"", request("PING")])
        deaf.send_frames([b"the end"])
        wait_until(lambda: server.stats().errors[ErrorKind.NO_DELIMITER], "all was received")
        assert process.memory_info().rss - before < memory(200)
        assert ask(server, "SET", {"positions": 1})["error_msg"] is None


def test_memory_of_a_deaf_peer_is_given_back():
    with serving_big() as server:
        with RawPeer(server) as deaf:
            for _ in range(400):
                deaf.send(request("GET"))
            wait_until(lambda: server.stats().parked_bytes > 0, "replies are parked")
        wait_until(lambda: server.stats().parked_bytes == 0, "parked replies are dropped")
        wait_until(lambda: server.stats().errors[ErrorKind.UNROUTABLE] > 0, "they are counted")
        stats = server.stats()
        assert (stats.queue_depth, stats.queue_bytes) == (0, 0)
