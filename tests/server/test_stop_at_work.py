"""stop() while callbacks run, replies wait and peers flood or do not read."""

from __future__ import annotations

import logging
import threading

import zmq
from support.machine import LINUX
from support.peers import PATIENCE_S, Peer, ask, request
from support.raw_peers import RawPeer
from support.serving import Gate, make, serving
from support.stopping import BOUNDED_S, assert_port_is_free, timed_stop
from support.waiting import wait_until

from laplace_server.protocol import LOGGER_NAME


def test_long_callback(caplog):
    gate = Gate()
    server = make()
    server.set_on_position_changed(gate)
    server.start()
    with Peer(server) as peer:
        peer.send(request("SET", {"positions": 1}))
        gate.wait_begun()
        with caplog.at_level(logging.WARNING, logger=LOGGER_NAME):
            assert timed_stop(server) < BOUNDED_S
        assert any("on_position_changed" in record.getMessage() for record in caplog.records)
        assert server.is_alive()
        assert_port_is_free(server)
        assert timed_stop(server) < BOUNDED_S
        # It may be carried out yet, so nobody may say that it was not.
        assert peer.receive()["error_msg"] == (
            "Server stopping: the command was begun, and whether it is carried out is not known."
        )
        gate.open()
        server.join(PATIENCE_S)
        assert not server.is_alive()


def test_running_callback_may_finish_and_its_reply_is_sent():
    gate = Gate()
    with serving() as server, Peer(server) as peer:
        server.set_on_position_changed(gate)
        peer.send(request("SET", {"positions": 1}))
        gate.wait_begun()
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        wait_until(lambda: "stopping" in (ask(server, "PING")["error_msg"] or ""), "it stops")
        gate.open()
        assert peer.receive()["error_msg"] is None
        stopper.join(PATIENCE_S)


def test_queued_requests_are_told_and_their_callbacks_never_run():
    gate = Gate()
    with serving(data={"x": [1]}) as server:
        server.set_on_position_changed(gate)
        peers = [Peer(server, zmq.DEALER) for _ in range(4)]
        try:
            for number, peer in enumerate(peers):
                for cmd in ("SET", "GET", "SET", "PING", "NOPE"):
                    peer.send(request(cmd, {"positions": number}))
            wait_until(lambda: server.stats().queue_depth == 20, "all are queued")
            gate.wait_begun()
            stopper = threading.Thread(target=server.stop)
            stopper.start()
            wait_until(lambda: "stopping" in (ask(server, "PING")["error_msg"] or ""), "it stops")
            gate.open()
            replies = [[peer.receive() for _ in range(5)] for peer in peers]
            stopper.join(PATIENCE_S)
        finally:
            for peer in peers:
                peer.close()
        assert len(gate.calls) == 1
        done = gate.calls[0]
        for number, own in enumerate(replies):
            assert [r["cmd"] for r in own] == ["SET", "GET", "SET", "PING", "NOPE"]
            for i, reply in enumerate(own):
                if (number, i) == (done, 0):
                    assert reply["error_msg"] is None
                else:
                    text = "Server stopping: the request was not carried out."
                    assert reply["error_msg"] == text


def test_large_replies_in_flight_arrive():
    big = {"image": "x" * (1 << 20)}
    with serving() as server:
        server.set_data(big, copy=True)
        # Small, so that much is under way; elsewhere so small a window may take seconds.
        buffer = {zmq.RCVBUF: 4096 if LINUX else 1 << 16}
        peers = [Peer(server, zmq.DEALER, options=buffer) for _ in range(2)]
        try:
            for peer in peers:
                peer.ask("PING")
            for peer in peers:
                for _ in range(2):
                    peer.send(request("GET"))
            wait_until(lambda: server.stats().commands["GET"].native == 4, "all were sent")
            server.stop()
            for peer in peers:
                for _ in range(2):
                    assert peer.receive()["payload"]["data"] == big
        finally:
            for peer in peers:
                peer.close()


def test_a_peer_that_reads_nothing_does_not_hold_it_up():
    with serving() as server, RawPeer(server) as deaf:
        server.set_data({"image": "x" * (1 << 20)}, copy=True)
        for _ in range(300):
            deaf.send(request("GET"))
        wait_until(lambda: server.stats().parked_bytes > 0, "replies are parked")
        assert timed_stop(server) < BOUNDED_S
        assert not server.is_alive()
        assert_port_is_free(server)


def test_a_flood_does_not_hold_it_up():
    ended = threading.Event()
    server = make()
    server.start()

    def flood():
        with Peer(server, zmq.DEALER, options={zmq.SNDTIMEO: 100}) as peer:
            while not ended.is_set():
                try:
                    peer.send(request("PING"))
                    while peer.socket.poll(0):
                        peer.socket.recv_multipart()
                except zmq.Again:
                    pass

    threads = [threading.Thread(target=flood) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: server.stats().commands["PING"].native > 200, "the flood runs")
        assert timed_stop(server) < BOUNDED_S
        server.join(PATIENCE_S)
        assert not server.is_alive()
    finally:
        ended.set()
        for thread in threads:
            thread.join(PATIENCE_S)


def test_stop_in_a_thread_that_the_callback_waits_for():
    """As a callback does that hands over to the GUI thread and waits, while that one stops."""
    server = make()
    took = []

    def callback(_):
        stopper = threading.Thread(target=lambda: took.append(timed_stop(server)))
        stopper.start()
        stopper.join(PATIENCE_S)

    server.set_on_position_changed(callback)
    server.start()
    with Peer(server) as peer:
        peer.send(request("SET", {"positions": 1}))
        peer.receive()
    server.join(PATIENCE_S)
    assert not server.is_alive()
    assert took[0] < BOUNDED_S
