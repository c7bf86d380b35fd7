"""Peers that are not a plain REQ socket, and peers that misbehave."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import zmq
from machine import memory, within
from raw_peers import (
    PATIENCE_S,
    Gate,
    Peer,
    RawPeer,
    ask,
    limited,
    proxy,
    request,
    serving,
    wait_until,
)

from laplace_server import ServerLHC
from laplace_server.stats import ErrorKind

RELAXED = {zmq.REQ_CORRELATE: 1, zmq.REQ_RELAXED: 1}
BIG = {"image": "x" * (1 << 20)}


@contextlib.contextmanager
def serving_big(**arguments: Any) -> Iterator[ServerLHC]:
    """A server of 1 MiB of frozen data: every GET is answered without Python."""
    with serving(**arguments) as server:
        server.set_data(BIG, copy=True)
        yield server


@pytest.mark.parametrize("options", [{zmq.REQ_CORRELATE: 1}, RELAXED], ids=["correlate", "relaxed"])
def test_req_correlate(options):
    with serving(data={"x": 1}) as server, Peer(server, options=options) as peer:
        for _ in range(5):
            assert peer.ask("GET")["payload"] == {"data": {"x": 1}}
            assert peer.ask("SET", {"positions": [1]})["error_msg"] is None


def test_relaxed_req_that_gave_up_gets_the_answer_to_its_new_request():
    gate = Gate()
    with serving() as server, Peer(server, options=RELAXED) as peer:
        server.set_on_position_changed(gate)
        peer.send(request("SET", {"positions": [1]}))
        gate.wait_begun()
        peer.send(request("PING"))  # with REQ_RELAXED allowed without the first answer
        gate.open()
        assert peer.receive()["cmd"] == "PING"


@pytest.mark.parametrize(
    "route",
    [
        [],
        [b"tag"],
        [b"1234"],
        [b"a", b"b" * 300, b"\0\xff", b"1234"],
        [bytes([i % 255 + 1]) * (i % 7 + 1) for i in range(1000)],
        [b"r" * 100_000],
    ],
    ids=["none", "one", "like a request id", "four", "a thousand", "large"],
)
@pytest.mark.parametrize("cmd", ["PING", "SET"])
def test_routing_frames_come_back_as_they_were(route, cmd):
    with serving() as server, Peer(server, zmq.DEALER) as peer:
        for _ in range(3):
            peer.send_frames([*route, b"", request(cmd, {"positions": [1]})])
            frames = peer.receive_frames()
            assert frames[:-1] == [*route, b""]
            assert b'"error_msg": null' in frames[-1] or b'"error_msg":null' in frames[-1]


def test_message_without_an_empty_frame_is_dropped_and_counted():
    with serving() as server, Peer(server, zmq.DEALER) as peer:
        peer.send_frames([request("PING")])
        peer.send_frames([b"a", b"b", request("PING")])
        assert peer.ask("PING")["payload"] == {"PING": "PONG"}
        assert peer.silent()
        assert server.stats().errors[ErrorKind.NO_DELIMITER] == 2


@pytest.mark.parametrize(
    "bodies", [[], [b"a", b"b"], [b"", b""], [b"{}", request("PING")], [b"", request("PING")]]
)
def test_no_or_several_body_frames_are_an_error(bodies):
    with serving() as server, Peer(server, zmq.DEALER) as peer:
        peer.send_frames([b"", *bodies])
        reply = peer.receive()
        assert reply["error_msg"]
        assert (reply["to"], reply["cmd"]) == ("UNKNOWN", "UNKNOWN")
        assert peer.ask("PING")["error_msg"] is None
        assert server.stats().errors[ErrorKind.MALFORMED] == 1


def test_dealer_pipelines_native_requests():
    with serving(data={"x": 1}) as server, Peer(server, zmq.DEALER) as peer:
        for i in range(1000):
            peer.send(request(("PING", "GET", "INFO")[i % 3], sender=i + 1))
        for i in range(1000):
            reply = peer.receive()
            assert (reply["to"], reply["cmd"]) == (i + 1, ("PING", "GET", "INFO")[i % 3])
            assert reply["error_msg"] is None


def test_dealer_pipelines_callbacks_in_order():
    seen = []
    with serving() as server, Peer(server, zmq.DEALER) as peer:
        server.set_on_position_changed(seen.append)
        for i in range(1000):
            peer.send(request("SET", {"positions": [i]}, sender=i + 1))
        for i in range(1000):
            reply = peer.receive()
            assert (reply["to"], reply["error_msg"]) == (i + 1, None)
    assert seen == [[i] for i in range(1000)]


def test_a_window_of_a_thousand_requests_is_never_told_busy():
    total, window = 30_000, 1000
    with serving(data={"x": list(range(20))}) as server, Peer(server, zmq.DEALER) as peer:
        server.set_data({"x": list(range(20))}, copy=True)
        for i in range(total + window):
            if i >= window:
                reply = peer.receive()
                assert (reply["to"], reply["error_msg"]) == (i - window + 1, None)
            if i < total:
                peer.send(request("GET", sender=i + 1))


# ---- proxies


def test_clients_behind_one_proxy_do_not_wait_for_one_another():
    gate = Gate()
    with serving(data={"x": 1}) as server, proxy(server) as address:
        server.set_on_position_changed(gate)
        with Peer(address) as slow, Peer(address) as reader, Peer(address) as pinger:
            slow.send(request("SET", {"positions": [1]}))
            gate.wait_begun()
            for _ in range(20):
                assert reader.ask("GET")["payload"] == {"data": {"x": 1}}
                assert pinger.ask("PING")["error_msg"] is None
            assert slow.silent(0)
            gate.open()
            assert slow.receive()["error_msg"] is None


ROUTES = [
    *([bytes([7]) * (size - 1) + tag for tag in (b"a", b"b")] for size in (1, 2, 4, 5, 8, 255)),
    [b"\0", b"\0\0"],
    [b"\0\0\0a", b"\0\0\0b"],
    [b"cam1", b"camera"],
    [b"cam1", None],
]


@pytest.mark.parametrize("before", [[], [b"\0\1\2\3\4"], [b"way1", b"way2"]], ids=len)
@pytest.mark.parametrize("behind", [[], [b"way3"]], ids=["last", "first"])
@pytest.mark.parametrize("ids", ROUTES, ids=repr)
def test_two_programs_are_two_peers_whatever_their_ids(ids, before, behind):
    """The ids that a proxy puts before a request; one program's callback is slow, another reads."""
    slow, reading = ([*before, *([one] if one else []), *behind, b""] for one in ids)
    gate = Gate()
    with serving(data={"x": [1]}) as server, Peer(server, zmq.DEALER) as way:
        server.set_on_position_changed(gate)
        way.send_frames([*slow, request("SET", {"positions": 1}, sender="slow")])
        gate.wait_begun()
        for cmd in ("GET", "PING", "INFO", "GET"):
            way.send_frames([*reading, request(cmd, sender="reading")])
            *route, body = way.receive_frames()
            assert (route, json.loads(body)["to"]) == (reading, "reading")
            assert json.loads(body)["error_msg"] is None
        way.send_frames([*slow, request("GET", sender="slow")])
        assert way.silent(0.05), "the slow one's own read comes after its SET"
        gate.open()
        for cmd in ("SET", "GET"):
            *route, body = way.receive_frames()
            assert (route, json.loads(body)["cmd"]) == (slow, cmd)


def test_two_connections_are_two_peers_whatever_their_ids():
    """One's routing id reads like the other's with a routing frame behind it."""
    longer = b"A" + (1).to_bytes(8, sys.byteorder) + b"B"
    gate = Gate()
    with serving(data={"x": 1}) as server:
        server.set_on_position_changed(gate)
        with (
            Peer(server, zmq.DEALER, routing_id=b"A") as slow,
            Peer(server, zmq.DEALER, routing_id=longer) as reader,
        ):
            slow.send_frames([b"B", b"", request("SET", {"positions": 1})])
            gate.wait_begun()
            reader.send(request("GET"))
            assert reader.receive(within(5))["error_msg"] is None
            gate.open()
            assert slow.receive_frames()[:2] == [b"B", b""]


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("ids", [(b"cam1", b"cam2"), (b"a", b"b"), (b"a" * 255, b"b" * 255)])
def test_named_programs_behind_proxies_do_not_wait_for_one_another(depth, ids):
    gate = Gate()
    with serving(data={"x": 1}) as server, contextlib.ExitStack() as proxies:
        server.set_on_position_changed(gate)
        address = server.address
        for _ in range(depth):
            address = proxies.enter_context(proxy(address))
        with (
            Peer(address, routing_id=ids[0]) as slow,
            Peer(address, routing_id=ids[1]) as reader,
        ):
            slow.send(request("SET", {"positions": [1]}))
            gate.wait_begun()
            for _ in range(5):
                assert reader.ask("GET")["payload"] == {"data": {"x": 1}}
            gate.open()
            assert slow.receive()["error_msg"] is None


def test_a_dealer_that_numbers_its_requests_reads_while_its_callback_runs():
    gate = Gate()
    with serving(data={"x": 1}) as server, Peer(server, zmq.DEALER) as peer:
        server.set_on_position_changed(gate)
        for number in range(8):
            frames = [number.to_bytes(4, "big"), b"", request("SET", {"positions": number})]
            peer.send_frames(frames)
        gate.wait_begun()
        peer.send_frames([b"read", b"", request("GET")])
        assert peer.receive_frames()[0] == b"read"
        gate.open()
        # Each is answered under its number, and they acted in the order they were sent.
        assert [int.from_bytes(peer.receive_frames()[0], "big") for _ in range(8)] == [*range(8)]
        assert gate.calls == [*range(8)]


def test_relaxed_req_reads_though_the_callback_it_gave_up_still_runs():
    gate = Gate()
    with serving(data={"x": 1}) as server, Peer(server, options=RELAXED) as peer:
        server.set_on_position_changed(gate)
        peer.send(request("SET", {"positions": 1}))
        gate.wait_begun()
        assert peer.ask("GET")["payload"] == {"data": {"x": 1}}
        peer.send(request("SET", {"positions": 2}, sender="second"))
        wait_until(lambda: server.stats().queue_depth == 2, "it is queued")
        gate.open()
        assert peer.receive()["to"] == "second"
        assert gate.calls == [1, 2]


def test_correlating_client_and_dealer_behind_a_proxy():
    with serving(data={"x": 1}) as server, proxy(server) as address:
        with Peer(address, options=RELAXED) as req, Peer(address, zmq.DEALER) as dealer:
            assert req.ask("SET", {"positions": 1})["error_msg"] is None
            for i in range(500):
                dealer.send(request(("SET", "GET")[i % 2], {"positions": i}, sender=i + 1))
            assert [dealer.receive()["to"] for _ in range(500)] == list(range(1, 501))
            assert req.ask("GET")["payload"] == {"data": {"x": 1}}


def test_client_behind_two_proxies():
    with serving() as server, proxy(server) as inner, proxy(inner) as outer:
        with Peer(outer) as one, Peer(outer, options=RELAXED) as two:
            for cmd in ("PING", "SET", "INFO"):
                assert one.ask(cmd, {"positions": 1})["error_msg"] is None
                assert two.ask(cmd, {"positions": 1})["error_msg"] is None


# ---- peers that do not read


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
    kind = limited(peer_pending=8, peer_parked_bytes=4096)
    with serving_big(kind=kind) as server, RawPeer(server) as deaf, Peer(server) as other:
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

    with serving(kind=limited(peer_parked_bytes=budget)) as server, RawPeer(server) as deaf:
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
    kind = limited(peer_parked_bytes=1 << 20)
    with serving_big(kind=kind) as server, RawPeer(server) as deaf:
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
    kind = limited(peer_parked_bytes=budget)
    with serving(kind=kind) as server, RawPeer(server) as deaf:
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


# ---- peers that go, and come back


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
        assert gate.calls[-1] == "last"
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
