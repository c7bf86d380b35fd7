"""Peers that are not a plain REQ socket, and peers that misbehave."""

from __future__ import annotations

import contextlib
import json
import sys

import pytest
import zmq
from support.machine import within
from support.peers import Peer, request
from support.proxy import zmq_proxy
from support.serving import Gate, serving
from support.waiting import wait_until

from laplace_server.stats import ErrorKind

RELAXED = {zmq.REQ_CORRELATE: 1, zmq.REQ_RELAXED: 1}


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
    with serving(data={"x": 1}) as server, zmq_proxy(server) as address:
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
            address = proxies.enter_context(zmq_proxy(address))
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
    with serving(data={"x": 1}) as server, zmq_proxy(server) as address:
        with Peer(address, options=RELAXED) as req, Peer(address, zmq.DEALER) as dealer:
            assert req.ask("SET", {"positions": 1})["error_msg"] is None
            for i in range(500):
                dealer.send(request(("SET", "GET")[i % 2], {"positions": i}, sender=i + 1))
            assert [dealer.receive()["to"] for _ in range(500)] == list(range(1, 501))
            assert req.ask("GET")["payload"] == {"data": {"x": 1}}


def test_client_behind_two_proxies():
    with serving() as server, zmq_proxy(server) as inner, zmq_proxy(inner) as outer:
        with Peer(outer) as one, Peer(outer, options=RELAXED) as two:
            for cmd in ("PING", "SET", "INFO"):
                assert one.ask(cmd, {"positions": 1})["error_msg"] is None
                assert two.ask(cmd, {"positions": 1})["error_msg"] is None
