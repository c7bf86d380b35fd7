"""Peers that go, come back, come in numbers, or pose as others."""

from __future__ import annotations

import threading

import zmq
from support.machine import within
from support.peers import PATIENCE_S, Peer, ask, request
from support.raw_peers import RawPeer
from support.serving import Gate, limited, serving
from support.waiting import wait_until

from laplace_server.stats import ErrorKind


def test_peer_that_leaves_with_requests_pending():
    gate = Gate()
    with serving() as server:
        server.set_on_position_changed(gate)
        with Peer(server, zmq.DEALER) as leaver:
            for i in range(10):
                leaver.send(request("SET", {"positions": i}))
                leaver.send(request("GET"))
            gate.wait_begun()
        wait_until(lambda: server.stats().connections == 0, "the connection is gone")
        gate.open()
        assert ask(server, "SET", {"positions": "last"})["error_msg"] is None
        assert "last" in gate.calls
        wait_until(lambda: server.stats().queue_depth == 0, "nothing waits any more")
        wait_until(lambda: server.stats().errors[ErrorKind.UNROUTABLE] > 0, "it is counted")
        assert server.stats().queue_bytes == 0


def test_requests_of_leavers_still_count_as_queued():
    """The queue is bounded whatever peers do: those who left must not make room for more."""
    gate = Gate()
    with serving(kind=limited(pending=8, peer_pending=8)) as server:
        server.set_on_position_changed(gate)
        sent = 0
        for _ in range(6):
            with Peer(server, zmq.DEALER) as leaver:
                for i in range(8):
                    leaver.send(request("SET", {"positions": i}))
                sent += 8
                leaver.send_frames([b"no delimiter"])
                wait_until(
                    lambda n=sent // 8: server.stats().errors[ErrorKind.NO_DELIMITER] == n,
                    "received",
                )
            wait_until(lambda: server.stats().connections == 0, "the connection is gone")
            gate.let_one_through()
            gate.wait_begun()
        finished = len(gate.calls) - 1
        gate.open()
        wait_until(lambda: server.stats().queue_depth == 0, "all is done")
        assert sent == 48
        assert len(gate.calls) - finished <= 8


def test_the_queue_is_counted_right_when_a_leavers_requests_changed_hands():
    """A GET that came as the loop's business and became Python's, while its peer went."""
    gate = Gate()
    with serving() as server:
        server.set_data({"x": 1}, copy=True)
        server.set_on_position_changed(gate)
        with Peer(server, zmq.DEALER) as leaver:
            leaver.send(request("SET", {"positions": 1}))
            gate.wait_begun()
            leaver.send(request("GET"))
            wait_until(lambda: server.stats().queue_depth == 2, "the read waits behind")
            server.set_on_get(lambda: None)
            leaver.send(request("SAVE", {"path": "a"}))
            wait_until(lambda: server.stats().queue_depth == 3, "all are queued")
        wait_until(lambda: server.stats().connections == 0, "the connection is gone")
        gate.let_one_through()
        wait_until(lambda: server.stats().queue_depth == 0, "nothing waits")
        server.set_on_get(None)
        assert len(gate.calls) == 1
        assert server.stats().queue_bytes == 0
        assert server.stats().queue_high_water == 3
        with Peer(server) as other:
            assert other.ask("SAVE", {"path": "b"})["error_msg"] is None
            server.set_data({"x": 1})
            assert other.ask("GET")["error_msg"] is None


def test_same_routing_id_reconnects():
    with serving(data={"x": 1}) as server:
        for i in range(20):
            with Peer(server, routing_id=b"camera") as peer:
                assert peer.ask("SET", {"positions": i})["error_msg"] is None
                assert peer.ask("GET")["payload"] == {"data": {"x": 1}}
            wait_until(lambda: server.stats().connections == 0, "the connection is gone")
            ask(server, "PING")  # by now libzmq has given the id free


def test_an_outside_peer_cannot_pose_as_the_wake_up():
    gate = Gate()
    with serving() as server:
        server.set_on_position_changed(gate)
        with (
            RawPeer(server, b"laplace-wake") as impostor,
            Peer(server, routing_id=b"laplace-wake") as req,
        ):
            for _ in range(50):
                impostor.send_frames([b""])
                impostor.send_frames([b"", request("PING")])
            req.send(request("PING"))
            with Peer(server) as honest:
                honest.send(request("SET", {"positions": 1}))
                gate.wait_begun()
                gate.open()  # its reply needs the wake-up
                assert honest.receive(within(2))["error_msg"] is None
                assert honest.ask("PING")["error_msg"] is None


def test_many_peers_at_once():
    with serving(data={"x": 1}) as server:
        failures = []

        def client(number):
            try:
                with Peer(server) as peer:
                    for i in range(30):
                        cmd = ("PING", "GET", "SET")[(i + number) % 3]
                        reply = peer.ask(cmd, {"positions": i}, sender=f"{number}.{i}")
                        assert (reply["cmd"], reply["to"]) == (cmd, f"{number}.{i}")
            except BaseException as problem:
                failures.append(problem)

        threads = [threading.Thread(target=client, args=(n,)) for n in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert not failures
        wait_until(lambda: server.stats().connections_total == 40, "all are counted")


def test_handlers_changed_while_the_server_sleeps_serve_the_very_next_request():
    calls = []
    with serving() as server, Peer(server) as peer:
        peer.ask("GET")
        for _ in range(20):
            server.set_on_get(lambda: calls.append("get"))
            peer.ask("GET")
            server.set_on_get(None)
            peer.ask("GET")
            server.register_handler("PING", lambda s, m, t: {"mine": True})
            assert peer.ask("PING")["payload"] == {"mine": True}
            del server._handlers["PING"]
            assert peer.ask("PING")["error_msg"] == "Unknown command"
        assert calls == ["get"] * 20
