"""One peer's answers come in the order of its requests, whoever makes them."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import random
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.isolated import environment
from support.machine import within
from support.peers import PATIENCE_S, Peer, request
from support.raw_peers import RawPeer
from support.serving import Gate, all_begun, limited, serving
from support.waiting import wait_until

from laplace_server.protocol import LOGGER_NAME

KINDS = (
    "PING",
    "GET",
    "INFO",
    "SET",
    "SAVE",
    "ECHO",
    "NOPE",
    "version",
    "broken",
    "frames",
    "nan",
    "cmd",
)


def frames_of(kind, number):
    """A request of a kind, marked by a number wherever the answer can show it."""
    if kind == "broken":
        return [b"", b'{"from": %d, "cmd": ' % number]
    if kind == "frames":
        return [b"", request("PING", sender=number), b"second"]
    if kind == "nan":  # left to Python, which takes it
        return [b"", b'{"from":%d,"cmd":"PING","payload":NaN,"version":"0.2.2"}' % number]
    if kind == "cmd":
        return [b"", request(["PING"], sender=number)]
    if kind == "version":
        return [b"", request("PING", sender=number, version="9.9.9")]
    payload = {"SET": {"positions": number}, "SAVE": {"path": str(number)}, "ECHO": {"n": number}}
    return [b"", request(kind, payload.get(kind, {}), sender=number)]


def check(kind, number, reply):
    if kind in ("broken", "frames"):
        assert (reply["to"], reply["cmd"]) == ("UNKNOWN", "UNKNOWN")
        assert reply["error_msg"]
        return
    assert reply["to"] == number
    if reply["error_msg"] is not None and reply["error_msg"].startswith("Server busy"):
        return
    if kind == "NOPE":
        assert reply["error_msg"] == "Unknown command"
    elif kind == "cmd":
        assert (reply["cmd"], reply["error_msg"]) == (["PING"], "Unknown command")
    elif kind == "version":
        assert "version mismatch" in reply["error_msg"]
    elif kind == "ECHO":
        assert reply["payload"] == {"n": number}
    else:
        assert (reply["cmd"], reply["error_msg"]) == ("PING" if kind == "nan" else kind, None)


def echo(server, message, target):
    return message["payload"]


@pytest.fixture(scope="module", params=["frozen", "live", "live and aliased"])
def mixed_server(request, transport):
    """One server for many examples; its data changes, or not, while they run."""
    with serving(data={"x": [0]}) as server:
        all_begun(server)
        server.register_handler("ECHO", echo)
        data = {"x": [0]}
        if request.param == "frozen":
            server.set_data(data, copy=True)
        elif request.param == "live":
            server.set_data(data)
            server.set_on_position_changed(lambda position: server.set_data({"x": [position]}))
        else:
            server.set_data(data)
            server.set_on_position_changed(lambda position: data["x"].__setitem__(0, position))
        yield server


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=60))
def test_any_sequence_is_answered_in_order(mixed_server, kinds):
    with Peer(mixed_server, zmq.DEALER) as peer:
        for number, kind in enumerate(kinds, 1):
            peer.send_frames(frames_of(kind, number))
        for number, kind in enumerate(kinds, 1):
            check(kind, number, peer.receive())


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kinds=st.lists(st.sampled_from(KINDS), min_size=5, max_size=40))
def test_numbered_requests_are_all_answered_and_act_in_order(mixed_server, kinds):
    """As REQ_CORRELATE sends them: a new 4-byte frame each time, by which its answer is known."""
    acted = []
    mixed_server.set_on_saving_path_changed(acted.append)
    with Peer(mixed_server, zmq.DEALER) as peer:
        owed = dict(enumerate(kinds, 1))
        for number, kind in owed.items():
            peer.send_frames([number.to_bytes(4, "big"), *frames_of(kind, number)])
        while owed:
            route, delimiter, body = peer.receive_frames()
            assert delimiter == b""
            number = int.from_bytes(route, "big")
            check(owed.pop(number), number, json.loads(body))
    assert acted == [str(number) for number, kind in enumerate(kinds, 1) if kind == "SAVE"]


def test_long_random_sequences_of_several_peers_at_once(mixed_server):
    seed = time.time_ns()
    print("seed", seed)
    failures = []

    def client(n):
        random_ = random.Random(seed + n)
        kinds = random_.choices(KINDS, k=800)
        try:
            with Peer(mixed_server, zmq.DEALER) as peer:
                for number, kind in enumerate(kinds, 1):
                    peer.send_frames(frames_of(kind, number))
                for number, kind in enumerate(kinds, 1):
                    check(kind, number, peer.receive())
        except BaseException as problem:
            failures.append(problem)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures


def test_a_get_behind_a_set_shows_what_the_set_did():
    with serving(data={"position": None}) as server, Peer(server, zmq.DEALER) as peer:
        server.set_on_position_changed(lambda p: server.set_data({"position": p}))
        for i in range(300):
            peer.send(request("SET", {"positions": i}))
            peer.send(request("GET"))
        for i in range(300):
            assert peer.receive()["cmd"] == "SET"
            assert peer.receive()["payload"] == {"data": {"position": i}}


def test_busy_answers_stand_in_line():
    gate = Gate()
    with serving(kind=limited(peer_pending=4)) as server, Peer(server, zmq.DEALER) as peer:
        server.set_on_position_changed(gate)
        for number in range(1, 21):
            peer.send(request("SET", {"positions": number}, sender=number))
        wait_until(
            lambda: server.stats().bytes_in > 20 * 60 and server.stats().parked_bytes, "read"
        )
        assert peer.silent(), "a later busy answer must not overtake"
        gate.open()
        replies = [peer.receive() for _ in range(20)]
        assert [reply["to"] for reply in replies] == list(range(1, 21))
        busy = [reply["to"] for reply in replies if reply["error_msg"]]
        assert busy
        assert gate.calls == [n for n in range(1, 21) if n not in busy]


def test_order_holds_for_a_peer_that_reads_slowly():
    big = "x" * 200_000
    with serving(data={"x": big}) as server, RawPeer(server) as peer:
        server.register_handler("ECHO", echo)
        kinds = random.Random(7).choices(("GET", "ECHO", "PING", "SET", "broken"), k=900)
        sender = threading.Thread(
            target=lambda: [peer.send_frames(frames_of(k, n)) for n, k in enumerate(kinds, 1)]
        )
        sender.start()
        sender.join(PATIENCE_S)
        wait_until(lambda: server.stats().parked_bytes > 0 or server.stats().queue_depth, "behind")
        for number, kind in enumerate(kinds, 1):
            check(kind, number, peer.receive())


def test_order_holds_while_handlers_come_and_go():
    with serving(data={"x": [1]}) as server, Peer(server, zmq.DEALER) as peer:
        ended = threading.Event()

        def change():
            while not ended.is_set():
                server.set_on_get(lambda: None)
                server.register_handler("PING", lambda s, m, t: {"mine": 1})
                server.set_on_get(None)
                del server._handlers["PING"]
                server.set_data({"x": [2]})

        changer = threading.Thread(target=change)
        changer.start()
        try:
            for start in range(1, 4001, 400):
                for number in range(start, start + 400):
                    peer.send(request(("PING", "GET", "INFO", "SET")[number % 4], sender=number))
                for number in range(start, start + 400):
                    assert peer.receive()["to"] == number
        finally:
            ended.set()
            changer.join(PATIENCE_S)


@pytest.mark.alone
def test_a_callback_does_not_hold_up_other_peers():
    gate = Gate()
    with serving(data={"x": 1}) as server, Peer(server) as slow, Peer(server) as reader:
        server.set_on_position_changed(gate)
        slow.send(request("SET", {"positions": 1}))
        gate.wait_begun()
        worst = 0.0
        for live in (False, True):
            alias = {"x": [1]}
            server.set_data(alias, copy=not live)
            for cmd in ("GET", "PING", "INFO") * 20:
                begun = time.monotonic()
                assert reader.ask(cmd)["error_msg"] is None
                worst = max(worst, time.monotonic() - begun)
        assert worst < within(0.1)
        assert slow.silent(0)
        gate.open()
        assert slow.receive()["error_msg"] is None


def test_reads_of_data_that_was_just_set_do_not_wait_for_the_time_out():
    """A refresh that was under way when the request came may freeze the data: it then serves it."""
    with serving(refresh_timeout_ms=10_000) as server, Peer(server) as peer:
        peer.ask("PING")
        values = tuple(float(i) for i in range(200_000))
        for i in range(40):
            data = {"i": i, "x": values}
            server.set_data(data)
            del data
            begun = time.monotonic()
            assert peer.ask("GET")["payload"]["data"]["i"] == i
            assert time.monotonic() - begun < 5


@contextlib.contextmanager
def debug_log(handler):
    logger = logging.getLogger(LOGGER_NAME)
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


HAMMER = """
    import sys, zmq
    from support.peers import request
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.linger = 0
    socket.connect(sys.argv[1])
    print("begun", flush=True)
    for i in range(int(sys.argv[2])):
        for _ in range(200):
            socket.send_multipart([b"", request("PING")])
        for _ in range(200):
            socket.recv_multipart()
"""


@pytest.mark.alone
def test_callbacks_are_not_starved_by_reads_while_debug_is_logged():
    with debug_log(logging.StreamHandler(io.StringIO())), serving() as server:
        with Peer(server) as peer, hammering(server.address, 1_000_000):
            slowest = 0.0
            for i in range(20):
                begun = time.monotonic()
                peer.send(request("SET", {"positions": i}))
                assert peer.receive()["error_msg"] is None
                slowest = max(slowest, time.monotonic() - begun)
        assert slowest < within(1)


@contextlib.contextmanager
def hammering(address, rounds):
    """Another process that reads as fast as it can."""
    command = [sys.executable, "-c", textwrap.dedent(HAMMER), address, str(rounds)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline().strip() == b"begun"
            yield
        finally:
            process.kill()
