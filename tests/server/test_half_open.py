"""Peers that lose their network without a word: nothing they send or are sent arrives any more."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from support.isolated import Child
from support.machine import LINUX, within
from support.peers import ask
from support.serving import serving
from support.waiting import wait_until

pytestmark = [
    pytest.mark.transports("tcp"),
    pytest.mark.slow,
    pytest.mark.skipif(not LINUX, reason="needs network namespaces"),
    pytest.mark.timeout(within(200)),
]

# A network of four addresses for each process: what another run, or one that was killed, has left
# behind would take the packets.
_NETWORK = os.getpid() % (1 << 14) * 4
OURS, THEIRS = (f"10.199.{_NETWORK >> 8}.{(_NETWORK & 255) + host}" for host in (1, 2))

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


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


@pytest.fixture
def network() -> Iterator[tuple[str, Callable[[], None]]]:
    """A network of one other "machine": its name, and what cuts it off."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("may not make a network namespace")
    name = f"lh{os.getpid() % 100_000}"
    with contextlib.ExitStack() as stack:
        try:
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("link", "add", f"{name}a", "type", "veth", "peer", f"{name}b", "netns", name)
            # The kernel may keep the namespace, and its end with it, for a connection's sake.
            stack.callback(ip, "link", "del", f"{name}a")
            ip("addr", "add", f"{OURS}/30", "dev", f"{name}a")
            ip("link", "set", f"{name}a", "up")
            ip("-n", name, "addr", "add", f"{THEIRS}/30", "dev", f"{name}b")
            ip("-n", name, "link", "set", f"{name}b", "up")
        except subprocess.CalledProcessError as problem:
            pytest.skip(f"may not make a network namespace: {problem.stderr!r}")
        yield name, lambda: ip("-n", name, "link", "set", f"{name}b", "down")


class PeersElsewhere(Child):
    def __init__(self, network: str, port: str) -> None:
        super().__init__(PEERS, OURS, port, before=("ip", "netns", "exec", network))


def test_half_open_connections_are_noticed(
    network: tuple[str, Callable[[], None]],
) -> None:
    """One that is owed bytes, and one that is owed nothing and said nothing for a while."""
    name, cut_off = network
    with serving(f"tcp://{OURS}:*") as server:
        server.set_data({"x": "y" * (8 << 20)}, copy=True)
        peers = PeersElsewhere(name, server.server_port)
        try:
            assert peers.hear() == "ready"
            wait_until(lambda: server.stats().waiting_bytes > 0, "one is owed bytes")
            assert server.stats().connections == 2
            cut_off()
            # About 60 and 70 s.
            wait_until(lambda: server.stats().connections == 0, "both are given up", within(120))
            assert server.stats().waiting_bytes == 0
            assert ask(f"tcp://{OURS}:{server.server_port}", "PING")["error_msg"] is None
        finally:
            peers.close()
