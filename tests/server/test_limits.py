"""The queue for Python is bounded: in requests and bytes, in all and for each peer."""

from __future__ import annotations

import zmq
from support.machine import within
from support.peers import Peer, request
from support.serving import Gate, limited, serving
from support.waiting import wait_until

from laplace_server.stats import ErrorKind


def is_busy(reply):
    return reply["error_msg"] is not None and reply["error_msg"].startswith("Server busy")


def test_one_peer_gets_its_share_and_no_more():
    gate = Gate()
    with serving(kind=limited(peer_pending=8)) as server:
        server.set_on_position_changed(gate)
        with Peer(server, zmq.DEALER) as greedy, Peer(server) as modest:
            for number in range(1, 31):
                greedy.send(request("SET", {"positions": number}, sender=number))
            wait_until(lambda: server.stats().parked_bytes > 0, "busy answers stand in line")
            modest.send(request("SET", {"positions": "modest"}))
            wait_until(lambda: server.stats().queue_depth == 9, "the modest one is queued")
            gate.open()
            assert modest.receive()["error_msg"] is None
            replies = [greedy.receive() for _ in range(30)]
            assert [reply["to"] for reply in replies] == list(range(1, 31))
            assert sum(map(is_busy, replies)) == 22
            assert not any(map(is_busy, replies[:8]))
            assert not is_busy(greedy.ask("SET", {"positions": 0}))
        stats = server.stats()
        assert stats.errors[ErrorKind.BUSY] == 22
        assert (stats.queue_depth, stats.queue_bytes, stats.queue_high_water) == (0, 0, 9)


def test_all_peers_together():
    gate = Gate()
    with serving(kind=limited(pending=5)) as server:
        server.set_on_position_changed(gate)
        server.set_data({}, copy=True)
        peers = [Peer(server) for _ in range(9)]
        try:
            for number, peer in enumerate(peers[:5], 1):
                peer.send(request("SET", {"positions": number}))
                wait_until(lambda n=number: server.stats().queue_depth == n, "it is queued")
            for peer in peers[5:]:
                assert is_busy(peer.ask("SET", {"positions": "too many"}))
                assert peer.ask("PING")["error_msg"] is None
                assert peer.ask("GET")["error_msg"] is None
            gate.open()
            assert not any(is_busy(peer.receive()) for peer in peers[:5])
            assert sorted(gate.calls) == [1, 2, 3, 4, 5]
            for peer in peers:
                assert not is_busy(peer.ask("SET", {"positions": "later"}))
        finally:
            for peer in peers:
                peer.close()
        assert server.stats().queue_high_water == 5


def test_reads_of_live_data_are_answered_while_the_queue_is_full_of_callbacks():
    gate = Gate()
    data = {"x": [1]}
    with serving(kind=limited(pending=2), data=data) as server:
        server.set_on_position_changed(gate)
        with Peer(server, zmq.DEALER) as setter, Peer(server) as reader:
            for _ in range(2):
                setter.send(request("SET", {"positions": 1}))
            wait_until(lambda: server.stats().queue_depth == 2, "the queue is full")
            data["x"][0] = 2
            reply = reader.ask("GET")
            gate.open()
            assert (reply["error_msg"], reply["payload"]) == (None, {"data": {"x": [2]}})


def test_bytes_of_all_peers_together():
    gate = Gate()
    with serving(kind=limited(pending_bytes=100_000)) as server:
        server.set_on_position_changed(gate)
        with Peer(server) as first, Peer(server) as second, Peer(server) as third:
            first.send(request("SET", {"positions": "x" * 60_000}))
            gate.wait_begun()
            assert is_busy(second.ask("SET", {"positions": "x" * 60_000}))
            third.send(request("SET", {"positions": "x" * 20_000}))
            wait_until(lambda: server.stats().queue_depth == 2, "a small one fits")
            assert 80_000 < server.stats().queue_bytes <= 100_000
            gate.open()
            assert not is_busy(first.receive())
            assert not is_busy(third.receive())
            assert not is_busy(second.ask("SET", {"positions": "x" * 60_000}))


def test_bytes_of_one_peer():
    gate = Gate()
    with serving(kind=limited(peer_pending_bytes=100_000)) as server:
        server.set_on_position_changed(gate)
        with Peer(server, zmq.DEALER) as greedy, Peer(server) as other:
            for _ in range(3):
                greedy.send(request("SET", {"positions": "x" * 60_000}))
            gate.wait_begun()
            other.send(request("SET", {"positions": "x" * 60_000}))
            wait_until(lambda: server.stats().queue_depth == 2, "the other one's fits")
            gate.open()
            assert [is_busy(greedy.receive()) for _ in range(3)] == [False, True, True]
            assert not is_busy(other.receive())


def test_one_request_fits_however_large_it_is():
    kind = limited(pending=1, pending_bytes=1, peer_pending=1, peer_pending_bytes=1)
    with serving(kind=kind) as server, Peer(server) as peer:
        for _ in range(3):
            assert peer.ask("SET", {"positions": "x" * 1_000_000})["error_msg"] is None


def test_reads_of_live_data_count_while_they_wait():
    kind = limited(peer_pending=4)
    data = {"x": [1]}
    with serving(kind=kind, data=data) as server, Peer(server, zmq.DEALER) as peer:
        for number in range(1, 101):
            peer.send(request("GET", sender=number))
        replies = [peer.receive() for _ in range(100)]
        assert [reply["to"] for reply in replies] == list(range(1, 101))
        assert all(is_busy(r) or r["payload"] == {"data": {"x": [1]}} for r in replies)
        assert server.stats().queue_high_water <= 4
        assert data == {"x": [1]}


def test_busy_reply_says_who_and_what():
    gate = Gate()
    with serving(kind=limited(pending=1)) as server, Peer(server) as first, Peer(server) as second:
        server.set_on_position_changed(gate)
        first.send(request("SET", {"positions": 1}))
        gate.wait_begun()
        reply = second.ask("SAVE", {"path": "/tmp"}, sender={"name": "me"})
        assert list(reply) == ["from", "to", "cmd", "payload", "version", "error_msg", "msg"]
        assert (reply["from"], reply["to"], reply["cmd"]) == ("device", {"name": "me"}, "SAVE")
        assert is_busy(reply)
        assert is_busy(second.ask(b"not json"))
        gate.open()
        first.receive()
        assert second.ask("SAVE", {"path": "/tmp"})["error_msg"] is None


def test_messages_beyond_the_size_limit_close_only_their_connection(transport):
    with serving(max_message_bytes=10_000) as server, Peer(server) as other:
        assert other.ask("SET", {"positions": "x" * 9000})["error_msg"] is None
        with Peer(server, zmq.DEALER) as peer:
            peer.send(request("SET", {"positions": "x" * 10_000}))
            if transport == "tcp":
                assert "too large" in peer.receive()["error_msg"]
            assert peer.silent(0.2)
            assert other.ask("PING")["error_msg"] is None
        assert server.stats().commands["SET"].python == 1


def test_no_size_limit():
    with serving(max_message_bytes=-1) as server, Peer(server) as peer:
        assert peer.ask("SET", {"positions": "x" * 80_000_000})["error_msg"] is None


def test_latencies_and_bytes_are_counted():
    with serving() as server, Peer(server) as peer:
        for _ in range(10):
            peer.ask("PING")
            peer.ask("SET", {"positions": 1})
        # What is counted is counted after the reply has left.
        wait_until(lambda: server.stats().python_latency.total == 10, "all are counted")
        stats = server.stats()
    assert stats.native_latency.total == 10
    assert stats.python_latency.total == 10
    assert 0 < stats.native_latency.quantile(0.5) < within(0.1)
    assert stats.native_latency.quantile(0.5) <= stats.python_latency.quantile(1.0)
    assert (stats.commands["PING"].native, stats.commands["SET"].python) == (10, 10)
    assert stats.bytes_in > 20 * 80
    assert stats.bytes_out > 20 * 80
    assert (stats.connections, stats.connections_total) == (1, 1)
