"""stop(): from anywhere, in any state, in bounded time, and nobody is left without a word."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import zmq
from machine import APART, INTERRUPT, LINUX, MACOS, within
from raw_peers import (
    PATIENCE_S,
    Gate,
    Peer,
    RawPeer,
    ask,
    bind,
    request,
    run_script,
    serving,
    wait_until,
)

from laplace_server import ServerLHC
from laplace_server.protocol import LOGGER_NAME

PROMPT_S = within(0.3)  # with nothing to wait for
BOUNDED_S = within(2)  # whatever there is to wait for


def make(address="tcp://127.0.0.1:*", **arguments):
    return ServerLHC("device", address, 1, "MOTOR", **arguments)


def timed_stop(server):
    begun = time.monotonic()
    server.stop()
    return time.monotonic() - begun


def assert_port_is_free(server):
    # On macOS, that one can listen on all addresses says nothing of a single one.
    for host in ("*", "127.0.0.1"):
        context = zmq.Context()
        try:
            with context.socket(zmq.REP) as socket:
                bind(socket, f"tcp://{host}:{server.server_port}")
        finally:
            context.term()


def free_port():
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        return socket.bind_to_random_port("tcp://127.0.0.1")


@contextlib.contextmanager
def ended(process):
    """A child process that does not outlive its test."""
    with process:
        try:
            yield process
        finally:
            process.kill()


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


# ---- with work under way


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
        assert peer.receive()["error_msg"]
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
                    assert "stopping" in reply["error_msg"]


def test_large_replies_in_flight_arrive():
    big = {"image": "x" * (1 << 20)}
    with serving() as server:
        server.set_data(big, copy=True)
        # Small, so that much is under way; elsewhere so small a window may take seconds.
        buffer = {zmq.RCVBUF: 4096 if LINUX else 1 << 16}
        peers = [Peer(server, zmq.DEALER, options=buffer) for _ in range(4)]
        try:
            for peer in peers:
                peer.ask("PING")
            for peer in peers:
                for _ in range(5):
                    peer.send(request("GET"))
            wait_until(lambda: server.stats().commands["GET"].native == 20, "all were sent")
            server.stop()
            for peer in peers:
                for _ in range(5):
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


# ---- signals and the end of the process


def test_ctrl_c():
    source = """
        import signal, sys, time
        from laplace_server import ServerLHC
        if sys.platform == "win32":
            signal.signal(signal.SIGBREAK, signal.default_int_handler)
        server = ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR")
        server.start()
        try:
            print(server.address, flush=True)
            while sys.platform == "win32":  # where nothing interrupts a wait without end
                server.join(0.1)
            server.join()
        except KeyboardInterrupt:
            begun = time.monotonic()
            server.stop()
            assert time.monotonic() - begun < float(sys.argv[1])
            assert not server.is_alive()
            print("interrupted", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(source), str(BOUNDED_S)]
    with ended(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **APART)) as process:
        address = process.stdout.readline().strip()
        assert ask(address, "PING")["error_msg"] is None
        process.send_signal(INTERRUPT)
        assert process.stdout.readline().strip() == "interrupted"
        assert process.wait(PATIENCE_S) == 0


EXIT = """
    import sys, threading, time
    sys.path.insert(0, {tests!r})
    from raw_peers import Peer, Gate, request
    from laplace_server import ServerLHC
    state = sys.argv[1]
    data = {{"x": [1]}}
    server = ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR", data)
    server.daemon = True
    begun = threading.Event()
    def slow(_):
        begun.set()
        time.sleep(30)
    server.set_on_position_changed(slow)
    if state != "never started":
        server.start()
    if state == "callback":
        peer = Peer(server)
        peer.send(request("SET", {{"positions": 1}}))
        begun.wait()
    elif state == "queue":
        import zmq
        peer = Peer(server, zmq.DEALER)
        for i in range(200):
            peer.send(request("SET", {{"positions": 1}}))
        begun.wait()
    elif state == "load":
        def load(cmd):
            peer = Peer(server)
            while True:
                peer.ask(cmd)
        def feed():
            while True:
                server.set_data({{"x": [2]}})
        server.set_on_get(lambda: None)
        for target, arguments in ((load, ["GET"]), (load, ["PING"]), (feed, [])):
            threading.Thread(target=target, args=arguments, daemon=True).start()
        time.sleep(0.1)
    elif state == "stopped":
        server.stop()
    elif state == "stopping":
        threading.Thread(target=server.stop, daemon=True).start()
    print(time.monotonic(), flush=True)
"""


@pytest.mark.parametrize(
    "state", ["never started", "idle", "callback", "queue", "load", "stopped", "stopping"]
)
def test_process_with_a_daemon_server_ends(state):
    source = EXIT.format(tests=os.path.dirname(__file__))
    for _ in range(3 if state == "load" else 1):
        result = run_script(source, state)
        assert time.monotonic() - float(result.stdout) < within(3)
        assert "Fatal" not in result.stderr
        assert "terminate" not in result.stderr


def test_server_outlives_the_main_thread_until_stop():
    source = """
        from laplace_server import ServerLHC
        server = ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR", {"x": [1]})
        server.set_on_position_changed(lambda p: server.set_data({"x": p}))
        server.start()
        print(server.address, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(source)]
    pipe = subprocess.PIPE
    with ended(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)) as process:
        address = process.stdout.readline().strip()
        for i in range(20):
            assert ask(address, "SET", {"positions": [i]})["error_msg"] is None
            assert ask(address, "GET")["payload"] == {"data": {"x": [i]}}
        assert process.poll() is None
        assert ask(address, "STOP")["error_msg"] is None
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        assert "Traceback" not in errors
