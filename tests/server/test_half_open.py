"""Peers that lose their network without a word: nothing they send or are sent arrives any more."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from support.isolated import Child
from support.machine import LINUX, within
from support.networks import NetworkUnavailable, OtherNetwork, other_network
from support.peers import ask
from support.serving import serving
from support.waiting import wait_until

pytestmark = [
    pytest.mark.transports("tcp"),
    pytest.mark.slow,
    pytest.mark.skipif(not LINUX, reason="needs network namespaces"),
    pytest.mark.timeout(within(200)),
]

# Peers in the other network: one waits for nothing, one is sent more than it reads.
PEERS = """
import sys
from support.peers import request
from support.raw_peers import RawPeer
import socket

connect = socket.create_connection
socket.create_connection = lambda address, timeout: connect((sys.argv[1], address[1]), timeout)

class Address:
    server_port = sys.argv[2]

idle, asking = RawPeer(Address), RawPeer(Address)
for peer, command in ((idle, "PING"), (asking, "GET")):
    peer.send(request(command))
idle.receive()
idle.socket.sendall(b"\\4\\5\\4PONG")  # with it goes the confirmation of what came
print("ready", flush=True)
sys.stdin.readline()
"""

# One that waits for nothing, and asks again when it is told to.
IDLE_PEER = (
    PEERS[: PEERS.index("idle, asking")]
    + """
idle = RawPeer(Address)
for _ in range(2):
    idle.send(request("PING"))
    idle.receive()
    idle.socket.sendall(b"\\4\\5\\4PONG")
    print("answered", flush=True)
    sys.stdin.readline()
"""
)


@pytest.fixture
def network() -> Iterator[OtherNetwork]:
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(other_network())
        except NetworkUnavailable as reason:
            pytest.skip(str(reason))
        yield made


class PeersElsewhere(Child):
    def __init__(self, network: OtherNetwork, port: str, script: str = PEERS) -> None:
        super().__init__(script, network.ours, port, before=network.before)


def test_half_open_connections_are_noticed(network: OtherNetwork) -> None:
    """One that is owed bytes, and one that is owed nothing and said nothing for a while."""
    with serving(f"tcp://{network.ours}:*") as server:
        server.set_data({"x": "y" * (8 << 20)}, copy=True)
        peers = PeersElsewhere(network, server.server_port)
        try:
            assert peers.hear() == "ready"
            wait_until(lambda: server.stats().waiting_bytes > 0, "one is owed bytes")
            assert server.stats().connections == 2
            network.cut_off()
            # About a minute for each.
            wait_until(lambda: server.stats().connections == 0, "both are given up", within(120))
            assert server.stats().waiting_bytes == 0
            assert ask(f"tcp://{network.ours}:{server.server_port}", "PING")["error_msg"] is None
        finally:
            peers.close()


def test_probes_that_are_lost_end_nothing_that_is_there(network: OtherNetwork) -> None:
    """Of the three of an idle connection two are lost, and the last one is answered."""
    with serving(f"tcp://{network.ours}:*") as server:
        peer = PeersElsewhere(network, server.server_port, IDLE_PEER)
        try:
            assert peer.hear() == "answered"
            since = time.monotonic()
            network.cut_off()
            time.sleep(45 - (time.monotonic() - since))  # probes go after 30 and 40 s
            network.come_back()
            time.sleep(65 - (time.monotonic() - since))  # without an answer it would be closed now
            assert server.stats().connections == 1
            peer.tell("again")
            assert peer.hear() == "answered"
        finally:
            peer.close()
