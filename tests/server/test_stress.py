"""Everything at once, for some seconds, with servers that stop and start again."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
import time

import pytest
import zmq
from support.machine import WINDOWS, within
from support.peers import PATIENCE_S, Peer, request
from support.raw_peers import RawPeer, connect_tcp

from laplace_server import ServerLHC

SECONDS = float(os.environ.get("LAPLACE_STRESS_S", "5"))
GONE = (zmq.Again, TimeoutError, ConnectionError, OSError)


class Stress:
    """Clients and producers around one address whose server comes and goes."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.ended = threading.Event()
        self.failures = []
        self.answers = 0
        self.server = self.make("tcp://127.0.0.1:*")
        self.address = self.server.address

    def make_again(self):
        """The next server on the same port, which Windows frees when the deaf clients have gone."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.make(self.address)
            except zmq.ZMQError:
                if not WINDOWS or time.monotonic() > deadline:
                    raise

    def make(self, address):
        server = ServerLHC("device", address, 1, "MOTOR", {"x": [0]}, refresh_timeout_ms=20)
        server.set_on_position_changed(self.moved)
        server.register_handler("ECHO", lambda s, m, t: m["payload"])
        server.register_handler("FAIL", self.fail)
        return server

    def moved(self, position):
        self.server.set_data({"x": [position]})

    @staticmethod
    def fail(server, message, target):
        raise ValueError("as asked")

    def run(self, threads):
        running = [threading.Thread(target=self.guard, args=(t,), name=t.__name__) for t in threads]
        self.server.start()
        for thread in running:
            thread.start()
        deadline = time.monotonic() + SECONDS
        restarts = 0
        while time.monotonic() < deadline and not self.failures:
            self.ended.wait(self.random.uniform(0.05, 0.6))
            begun = time.monotonic()
            self.server.stop()
            assert time.monotonic() - begun < within(2.2)
            self.server.join(PATIENCE_S)
            assert not self.server.is_alive()
            self.server = self.make_again()
            self.server.start()
            restarts += 1
        self.ended.set()
        for thread in running:
            thread.join(PATIENCE_S)
        stuck = [thread.name for thread in running if thread.is_alive()]
        self.server.stop()
        if self.failures:
            raise self.failures[0]
        assert not stuck
        return restarts

    def guard(self, work):
        try:
            while not self.ended.is_set():
                with contextlib.suppress(*GONE):
                    work()
        except BaseException as problem:
            self.failures.append(problem)

    # ---- clients

    def req(self):
        with Peer(self.address) as peer:
            for _ in range(50):
                cmd = random.choice(("PING", "GET", "INFO", "SET", "ECHO", "FAIL", "NOPE"))
                payload = {"positions": 1, "n": random.random()}
                peer.send(request(cmd, payload, sender="req"))
                reply = peer.receive(0.5)
                assert (reply["to"], reply["cmd"]) in (("req", cmd), ("UNKNOWN", "UNKNOWN"))
                if cmd == "ECHO" and reply["error_msg"] is None:
                    assert reply["payload"] == payload
                self.answers += 1

    def dealer(self):
        """No answer is out of order, whether or not the server stops in between."""
        with Peer(self.address, zmq.DEALER) as peer:
            for i in range(1, 200):
                cmd = random.choice(("PING", "GET", "SET", "ECHO"))
                peer.send(request(cmd, {"positions": i}, sender=i))
            last = 0
            for _ in range(199):
                reply = peer.receive(0.5)
                if reply["to"] != "UNKNOWN":
                    assert reply["to"] > last
                    last = reply["to"]
                self.answers += 1

    def relaxed(self):
        options = {zmq.REQ_RELAXED: 1, zmq.REQ_CORRELATE: 1, zmq.SNDTIMEO: 500}
        with Peer(self.address, options=options) as peer:
            for i in range(1, 5):
                for cmd in ("SET", "PING", "GET"):
                    peer.send(request(cmd, {"positions": 1}, sender=i))
                reply = peer.receive(0.5)
                assert reply["cmd"] in ("GET", "UNKNOWN")
                assert reply["to"] in (i, "UNKNOWN")

    def leaver(self):
        with Peer(self.address, zmq.DEALER) as peer:
            for _ in range(random.randrange(50)):
                peer.send(request(random.choice(("GET", "SET")), {"positions": 1}))

    def deaf(self):
        with RawPeer(self.server) as peer:
            peer.socket.settimeout(0.5)
            for _ in range(200):
                peer.send(request("ECHO", {"x": "x" * 20_000}))
            self.ended.wait(0.1)

    def garbage(self):
        with connect_tcp(self.server) as connection:
            connection.sendall(random.randbytes(random.randrange(300)))
        with Peer(self.address, zmq.DEALER) as peer:
            peer.send_frames([random.randbytes(random.randrange(20)) for _ in range(5)])
            peer.send(random.randbytes(50))
            peer.receive_frames(0.2)

    # ---- the program around the server

    def produce(self):
        alias = {"x": [1], "text": "é"}
        for i in range(100):
            self.server.set_data(alias, copy=bool(i % 2))
            alias["x"][0] = i
            self.server.set_data({"x": [i, float("nan")]})
            assert isinstance(self.server.data, dict)

    def configure(self):
        server = self.server
        server.set_on_get(lambda: None)
        server.register_handler("PING", lambda s, m, t: {"PING": "PONG"})
        server.set_name_list([str(random.random())])
        server.empty_data_after_get = random.random() < 0.3
        server.set_on_get(None)
        assert server.stats().queue_depth >= 0
        server.name = "device"

    def drop(self):
        """Other servers, never started, started, dropped in any state."""
        others = [self.make("tcp://127.0.0.1:*") for _ in range(2)]
        others[0].start()
        others[0].me = others
        if random.random() < 0.5:
            others[0].running.clear()
        others[0].stop()


@pytest.fixture
def tiny_switch_interval():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_everything_at_once(tiny_switch_interval):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    random.seed(seed)
    stress = Stress(seed)
    restarts = stress.run(
        [
            stress.req,
            stress.req,
            stress.dealer,
            stress.relaxed,
            stress.leaver,
            stress.deaf,
            stress.garbage,
            stress.produce,
            stress.configure,
            stress.drop,
        ]
    )
    assert restarts > 1
    assert stress.answers > 20
