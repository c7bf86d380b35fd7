"""stop(): from anywhere, in any state, in bounded time, and nobody is left without a word."""

from __future__ import annotations

import threading
import time

import pytest
import zmq
from support.machine import MACOS, within
from support.peers import PATIENCE_S, Peer, ask, request
from support.serving import Gate, make, serving
from support.stopping import BOUNDED_S, PROMPT_S, assert_port_is_free, timed_stop
from support.waiting import wait_until


def free_port():
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        return socket.bind_to_random_port("tcp://127.0.0.1")


@pytest.mark.alone
@pytest.mark.parametrize("clients", ["none", "gone", "connected", "several"])
@pytest.mark.parametrize("attempt", range(3))
def test_idle_server_stops_at_once(clients, attempt):
    server = make()
    server.start()
    if clients == "gone":
        ask(server, "PING")
    peers = [Peer(server) for _ in range({"connected": 1, "several": 5}.get(clients, 0))]
    try:
        for peer in peers:
            for cmd in ("PING", "GET", "SET"):
                peer.ask(cmd, {"positions": 1})
        assert timed_stop(server) < PROMPT_S
        assert not server.is_alive()
        assert_port_is_free(server)
    finally:
        for peer in peers:
            peer.close()


only_one_loopback = pytest.mark.skipif(MACOS, reason="127.0.0.1 is its only loopback address")


@pytest.mark.alone
@pytest.mark.parametrize(
    "host",
    [
        "*",
        "0.0.0.0",
        "127.0.0.1",
        "localhost",
        pytest.param("127.0.0.2", marks=only_one_loopback),
    ],
)
def test_every_bind_address(host):
    server = make(f"tcp://{host}:*")
    server.start()
    reached = "127.0.0.2" if host == "127.0.0.2" else "127.0.0.1"
    assert ask(f"tcp://{reached}:{server.server_port}", "PING")["payload"] == {"PING": "PONG"}
    assert timed_stop(server) < BOUNDED_S
    assert not server.is_alive()
    again = make(f"tcp://{host}:{server.server_port}")
    assert timed_stop(again) < PROMPT_S
    assert_port_is_free(server)


def test_leading_zeros_of_a_port():
    port = free_port()
    server = make(f"tcp://127.0.0.1:00{port}")
    server.start()
    assert server.server_port in (f"00{port}", str(port))
    assert ask(f"tcp://127.0.0.1:{port}", "PING")["payload"] == {"PING": "PONG"}
    assert timed_stop(server) < BOUNDED_S
    assert_port_is_free(server)


@pytest.mark.alone
def test_before_start():
    server = make()
    assert timed_stop(server) < PROMPT_S
    assert not server.is_alive()
    assert not server.running.is_set()
    assert_port_is_free(server)
    server.stop()
    with pytest.raises(RuntimeError):
        server.start()


def test_twice_and_after_death():
    server = make()
    server.start()
    for _ in range(3):
        assert timed_stop(server) < BOUNDED_S
        assert not server.is_alive()
    with pytest.raises(RuntimeError):
        server.start()


@pytest.mark.alone
def test_after_stop_by_wire():
    server = make()
    server.start()
    reply = ask(server, "STOP")
    assert (reply["cmd"], reply["error_msg"]) == ("STOP", None)
    server.join(PATIENCE_S)
    assert not server.is_alive()
    assert not server.running.is_set()
    assert_port_is_free(server)
    assert timed_stop(server) < PROMPT_S


def test_stop_by_wire_answers_what_was_queued_behind_it():
    with serving() as server, Peer(server, zmq.DEALER) as peer, Peer(server, zmq.DEALER) as other:
        gate = Gate()
        calls = []
        server.set_on_position_changed(gate)
        server.set_on_saving_path_changed(calls.append)
        peer.send(request("SET", {"positions": 1}))
        gate.wait_begun()
        peer.send(request("STOP"))
        for _ in range(5):
            peer.send(request("SAVE", {"path": "a"}))
        wait_until(lambda: server.stats().queue_depth == 7, "queued")
        for _ in range(3):
            other.send(request("SAVE", {"path": "b"}))
        wait_until(lambda: server.stats().queue_depth == 10, "queued")
        gate.open()
        assert peer.receive()["error_msg"] is None
        assert peer.receive()["cmd"] == "STOP"
        late = [peer.receive() for _ in range(5)] + [other.receive() for _ in range(3)]
        assert all("stopping" in reply["error_msg"] for reply in late)
        assert calls == []


def test_remote_stop_not_permitted():
    with serving(remote_stop=False) as server:
        assert "not permitted" in ask(server, "STOP")["error_msg"]
        assert ask(server, "PING")["error_msg"] is None
        assert server.is_alive()


@pytest.mark.parametrize("started", [True, False])
def test_from_many_threads_at_once(started):
    for _ in range(10):
        server = make()
        if started:
            server.start()
        barrier = threading.Barrier(8)
        took = []

        def stop(server=server, barrier=barrier, took=took):
            barrier.wait()
            took.append(timed_stop(server))
            assert not server.is_alive()

        threads = [threading.Thread(target=stop) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert len(took) == 8
        assert max(took) < BOUNDED_S
        assert_port_is_free(server)


def test_racing_with_start():
    for i in range(60):
        server = make()
        stopper = threading.Thread(target=server.stop)
        if i % 2:
            stopper.start()
        try:
            server.start()
        except RuntimeError:
            assert i % 2
        if not i % 2:
            stopper.start()
        stopper.join(PATIENCE_S)
        assert not stopper.is_alive()
        server.stop()
        if server.ident is not None:
            server.join(PATIENCE_S)
        assert not server.is_alive()
        assert_port_is_free(server)


@pytest.mark.alone
@pytest.mark.parametrize("how", ["stop", "clear", "handler", "on_get"])
def test_inside_a_callback(how):
    took = []
    with serving() as server, Peer(server) as peer:

        def end(*_):
            begun = time.monotonic()
            server.running.clear() if how == "clear" else server.stop()
            took.append(time.monotonic() - begun)
            assert server.is_alive()

        server.set_on_position_changed(end)
        server.register_handler("END", lambda s, m, t: end())
        if how == "on_get":
            server.set_on_get(end)
        cmd = {"handler": "END", "on_get": "GET"}.get(how, "SET")
        assert peer.ask(cmd, {"positions": 1})["error_msg"] is None
        server.join(PATIENCE_S)
        assert not server.is_alive()
        assert took[0] < within(0.1)
        assert_port_is_free(server)


def test_clearing_running_ends_it():
    server = make()
    server.start()
    assert ask(server, "PING")["error_msg"] is None
    server.running.clear()
    server.join(PATIENCE_S)
    assert not server.is_alive()
    assert_port_is_free(server)


def test_context_manager():
    with make() as server:
        assert ask(server, "PING")["error_msg"] is None
    assert not server.is_alive()
    with pytest.raises(ZeroDivisionError), make() as server:
        raise ZeroDivisionError
    assert not server.is_alive()
    with pytest.raises(RuntimeError):
        server.__enter__().start()


def test_same_port_again_and_again():
    port = None
    for _ in range(20):
        with make(f"tcp://127.0.0.1:{port or '*'}") as server:
            port = server.server_port
            assert ask(server, "PING")["error_msg"] is None
