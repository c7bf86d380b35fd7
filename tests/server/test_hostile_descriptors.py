"""A process that runs out of descriptors: no server is begun half, and one that runs goes on."""

from __future__ import annotations

import json
import time

import pytest
from support.isolated import run_script
from support.machine import LINUX, within
from support.peers import Peer, request
from support.raw_peers import RawPeer, connect_tcp
from support.served_apart import ServedApart, answers_at_once
from support.waiting import wait_until

pytestmark = [
    pytest.mark.transports("tcp"),
    pytest.mark.skipif(not LINUX, reason="counts descriptors as Linux does"),
]

# Uses up the descriptors but for so many, and gives them back.
USE_UP = """
import os, resource

class Used:
    def __init__(self, left):
        self.all = []
        try:
            while True:
                self.all.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        for _ in range(left):
            os.close(self.all.pop())

    def give_back(self):
        for each in self.all:
            os.close(each)
        self.all = []

resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
"""

MAKE = (
    USE_UP
    + """
import errno, json, zmq
from laplace_server import ServerLHC

outcomes = []
for left in range(20):
    before = len(os.listdir("/proc/self/fd"))
    used, server = Used(left), None
    try:
        server = ServerLHC("s", "tcp://127.0.0.1:*", 1, "MOTOR", data={})
        server.start()
        outcome = "works"
    except zmq.ZMQError as problem:
        outcome = errno.errorcode[problem.errno]
    except OSError as problem:
        outcome = "OSError " + errno.errorcode[problem.errno]
    used.give_back()
    if server is not None:
        server.stop()
        server.join(20)
        assert not server.is_alive()
    del server
    after = len(os.listdir("/proc/self/fd"))
    outcomes.append([outcome, after - before])
print(json.dumps(outcomes))
"""
)


def test_making_a_server_says_that_descriptors_are_out() -> None:
    """With any number left; and what was opened by then is closed."""
    outcomes = json.loads(run_script(MAKE))
    works = [outcome == "works" for outcome, _ in outcomes]
    assert works == sorted(works)
    assert works[-1]
    assert not works[0]
    assert {outcome for outcome, _ in outcomes} == {"EMFILE", "works"}
    assert [left for _, left in outcomes] == [0] * len(outcomes)


@pytest.mark.alone
def test_a_server_without_descriptors() -> None:
    """It serves those it has, waits without the processor, and accepts when it can again."""
    with ServedApart(USE_UP) as server, Peer(server) as known, RawPeer(server) as other:
        assert known.ask("PING")["error_msg"] is None
        other.send(request("PING"))
        other.receive()
        server.run("used = Used(0)")
        waiting = [connect_tcp(server) for _ in range(5)]
        try:
            cpu, begun = server.cpu_s(), time.monotonic()
            while time.monotonic() - begun < 1:
                assert known.ask("GET")["error_msg"] is None
                time.sleep(0.05)
            assert server.cpu_s() - cpu < 0.1 * (time.monotonic() - begun)
            assert server.count("connections") == 2
            server.run("used.give_back()")
            for connection in waiting:
                connection.settimeout(within(2))
                assert connection.recv(1) == b"\xff"
            answers_at_once(server)
        finally:
            for connection in waiting:
                connection.close()
        assert known.ask("PING")["error_msg"] is None
        other.send(request("PING"))
        other.receive()


@pytest.mark.alone
def test_who_never_asked_makes_room_for_others() -> None:
    with ServedApart(USE_UP) as server, Peer(server) as known:
        assert known.ask("PING")["error_msg"] is None
        quiet = [connect_tcp(server) for _ in range(3)]
        try:
            wait_until(lambda: server.count("connections") == 4, "all are there")
            server.run("used = Used(0)")
            answers_at_once(server)
            assert server.count("refused.DISPLACED") == 1
            assert known.ask("PING")["error_msg"] is None
            server.run("used.give_back()")
        finally:
            for connection in quiet:
                connection.close()


@pytest.mark.alone
def test_a_place_given_up_is_taken_at_once() -> None:
    """Though the server itself waits a moment between two tries."""
    with ServedApart(USE_UP) as server:
        peers = []
        for _ in range(3):
            peers.append(RawPeer(server))
            peers[-1].send(request("PING"))
            peers[-1].receive()
        server.run("used = Used(0)")
        waiting = connect_tcp(server)
        try:
            assert server.count("connections") == 3
            peers[0].socket.close()
            assert waiting.recv(1) == b"\xff"
            wait_until(lambda: server.count("connections") == 3, "another one is there")
            server.run("used.give_back()")
        finally:
            waiting.close()
            for peer in peers:
                peer.socket.close()


def test_more_clients_than_descriptors_again_and_again() -> None:
    with ServedApart(USE_UP) as server, Peer(server) as known:
        assert known.ask("PING")["error_msg"] is None
        for _ in range(5):
            connections = [connect_tcp(server) for _ in range(150)]
            assert known.ask("PING")["error_msg"] is None
            for connection in connections:
                connection.close()
        answers_at_once(server)
        wait_until(lambda: server.count("connections") == 1, "all others are gone")
