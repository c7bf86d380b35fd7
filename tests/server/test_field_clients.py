"""Clients and programs as they are in the field."""

from __future__ import annotations

import errno
import json
import threading
import time

import pytest
import zmq
from support.machine import within
from support.peers import PATIENCE_S, Peer, ask, request
from support.serving import make, serving
from support.waiting import wait_until


class OldClient:
    """REQ, 2 s to answer, a new socket after a time-out: as the programs in the lab do it."""

    def __init__(self, address):
        self.address = address
        self.context = zmq.Context.instance()
        self.socket = None

    def ask(self, cmd, payload=None):
        if self.socket is None:
            self.socket = self.context.socket(zmq.REQ)
            self.socket.linger = 0
            self.socket.rcvtimeo = 2000
            self.socket.connect(self.address)
        try:
            self.socket.send(request(cmd, payload))
            return json.loads(self.socket.recv())
        except zmq.Again:
            self.close()
            return None

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None


class Busy:
    """A thread that computes in Python all the time, as a window that draws."""

    def __enter__(self):
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.compute)
        self.thread.start()
        return self

    def compute(self):
        total = 0
        while not self.ended.is_set():
            total += sum(i * i for i in range(1000))

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(PATIENCE_S)


@pytest.mark.alone
def test_pollers_beside_a_busy_thread():
    data = {"positions": [0.0, 1.0], "image": list(range(1000))}
    with serving() as server, Busy():
        server.set_data(data, copy=True)
        failures, slowest = [], []

        def poll(n):
            client = OldClient(server.address)
            try:
                for i in range(10):
                    begun = time.monotonic()
                    reply = client.ask(("GET", "INFO", "PING")[(i + n) % 3])
                    slowest.append(time.monotonic() - begun)
                    assert reply is not None
                    assert reply["error_msg"] is None
                    threading.Event().wait(0.1)  # 10 Hz
            except BaseException as problem:
                failures.append(problem)
            finally:
                client.close()

        threads = [threading.Thread(target=poll, args=(n,)) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert not failures
        assert len(slowest) == 50
        assert max(slowest) < within(1)
        # What the server itself took; the clients above share the GIL with the busy thread.
        wait_until(lambda: server.stats().native_latency.total == 50, "all are counted")
        assert server.stats().native_latency.quantile(0.9) < within(0.01)


def test_set_beside_a_busy_thread():
    with serving() as server, Busy():
        server.set_on_position_changed(lambda p: server.set_data({"positions": p}))
        client = OldClient(server.address)
        try:
            for i in range(10):
                assert client.ask("SET", {"positions": [i]})["error_msg"] is None
                assert client.ask("GET")["payload"]["data"] == {"positions": [i]}
        finally:
            client.close()


@pytest.mark.parametrize("how", ["stop", "wire", "clear"])
def test_client_survives_a_restart_on_the_same_port(how):
    server = make()
    server.start()
    with Peer(server) as peer:  # one socket all the time: libzmq reconnects it
        for i in range(3):
            assert peer.ask("SET", {"positions": i})["error_msg"] is None
            if how == "wire":
                peer.ask("STOP")
            elif how == "clear":
                server.running.clear()
            else:
                server.stop()
            server.join(PATIENCE_S)
            server = make(f"tcp://127.0.0.1:{server.server_port}", data={"round": i})
            server.start()
            assert peer.ask("GET")["payload"]["data"] == {"round": i}
    server.stop()


def test_client_that_asks_while_nobody_listens():
    server = make()
    address = server.address
    server.stop()
    with Peer(address) as peer:
        peer.send(request("PING"))
        assert peer.silent(0.2)
        with make(address) as server:
            assert peer.receive()["payload"] == {"PING": "PONG"}
            assert ask(server, "INFO")["error_msg"] is None


def test_client_with_time_outs_finds_a_restarted_server():
    server = make()
    server.start()
    client = OldClient(server.address)
    try:
        assert client.ask("PING")["error_msg"] is None
        server.stop()
        assert client.ask("PING") is None
        with make(server.address):
            assert client.ask("PING")["error_msg"] is None
    finally:
        client.close()


def test_requests_before_start_wait_for_it():
    server = make()
    with Peer(server) as peer:
        peer.send(request("PING"))
        assert peer.silent(0.05)
        server.start()
        assert peer.receive()["payload"] == {"PING": "PONG"}
        server.stop()


def test_set_data_from_several_threads():
    with serving() as server:
        ended = threading.Event()
        failures = []

        def produce(n):
            try:
                i = 0
                while not ended.is_set():
                    i += 1
                    data = {"who": n, "values": [n] * 50, "i": [i] * 3}
                    server.set_data(data, copy=bool(i % 2))
                    data["who"] = n  # still ours
            except BaseException as problem:
                failures.append(problem)

        threads = [threading.Thread(target=produce, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        try:
            with Peer(server) as peer:
                for _ in range(60):
                    data = peer.ask("GET")["payload"]["data"]
                    if data:
                        assert data["values"] == [data["who"]] * 50
                        assert len(set(data["i"])) == 1
        finally:
            ended.set()
            for thread in threads:
                thread.join(PATIENCE_S)
        assert not failures


def test_taken_port_then_the_next():
    with make() as first:
        port = int(first.server_port)
        for candidate in range(port, port + 50):
            try:
                second = make(f"tcp://127.0.0.1:{candidate}")
                break
            except zmq.ZMQError as problem:
                # Windows keeps some ports for itself.
                assert problem.errno in (zmq.EADDRINUSE, errno.EACCES)
        with second:
            assert int(second.server_port) > port
            assert ask(second, "PING")["error_msg"] is None
            assert ask(first, "PING")["error_msg"] is None


def test_a_taken_port_leaves_the_first_server_as_it_was():
    with make(data={"x": 1}) as first, Peer(first) as peer:
        for _ in range(20):
            with pytest.raises(zmq.ZMQError):
                make(first.address)
            assert peer.ask("GET")["payload"] == {"data": {"x": 1}}


def test_twenty_servers_in_one_process():
    servers = [make(data={"n": n}) for n in range(20)]
    try:
        for server in servers:
            server.start()
        for n, server in enumerate(servers):
            assert ask(server, "GET")["payload"] == {"data": {"n": n}}
    finally:
        for server in servers:
            server.stop()
    assert not any(server.is_alive() for server in servers)


@pytest.mark.alone
def test_an_idle_server_uses_no_cpu():
    with serving(data={"x": [1]}) as server:
        ask(server, "GET")
        wait_until(lambda: server.stats().connections == 0, "the client is gone")
        before = time.process_time()
        threading.Event().wait(0.5)
        assert time.process_time() - before < within(0.05)
