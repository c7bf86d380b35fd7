"""A process that runs out of memory: whoever wants too much goes, and all others are served."""

from __future__ import annotations

import contextlib
import struct

import pytest
from support.machine import LINUX, memory, within
from support.peers import Peer, request
from support.raw_peers import RawPeer
from support.served_apart import ServedApart, answers_at_once
from support.waiting import wait_until

pytestmark = [
    pytest.mark.transports("tcp"),
    pytest.mark.alone,
    pytest.mark.skipif(not LINUX, reason="limits memory as Linux does"),
]

MIB = 1 << 20
EMPTY = RawPeer.frame(b"", more=True)

# limit(MiB): so much more than it has may the process take from the system.
LIMIT = """
import resource

def limit(mebibytes):
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (size + (mebibytes << 20) if mebibytes else hard, hard))
"""


def header(size: int) -> bytes:
    return b"\2" + struct.pack(">Q", size)


@pytest.mark.parametrize("room", [1, 5, 40])
def test_bodies_that_do_not_fit(room: int) -> None:
    """Each peer sends 60 MiB of a body; there is room for less than one."""
    with ServedApart(LIMIT) as server, Peer(server) as known, contextlib.ExitStack() as stack:
        server.run('server.set_data({"x": [1]}, copy=True)')
        assert known.ask("GET")["error_msg"] is None
        answers_at_once(server)
        before = server.resident()
        server.run(f"limit({room})")
        peers = [stack.enter_context(RawPeer(server)) for _ in range(4)]
        for peer in peers:
            with pytest.raises(ConnectionError):
                peer.socket.sendall(EMPTY + header(64 * MIB))
                for _ in range(60):
                    peer.socket.sendall(b"x" * MIB)
                peer.read_exactly(1)
            assert known.ask("PING")["error_msg"] is None
        assert server.count("refused.NO_MEMORY") == len(peers)
        answers_at_once(server)
        server.run("limit(0)")
        assert known.ask("GET")["error_msg"] is None
        wait_until(lambda: server.resident() - before < memory(8), "memory is back", within(5))


def test_many_peers_without_memory() -> None:
    """Some are refused, in whatever state they are; none of it ends the server."""
    with ServedApart(LIMIT, max_waiting_bytes=64 * MIB) as server, Peer(server) as known:
        server.run('server.set_data({"x": "y" * 4_000_000}, copy=True)')
        assert known.ask("GET")["error_msg"] is None
        server.run("limit(8)")
        peers = []
        try:
            for number in range(300):
                with contextlib.suppress(ConnectionError, TimeoutError):
                    peer = RawPeer(server)
                    peers.append(peer)
                    peer.socket.settimeout(0.05)
                    peer.send(request("GET"))
                    peer.send_frames([b"%d" % number, b"", request("ECHO", "x" * 10_000)])
                    peer.socket.sendall(EMPTY + header(3_000_000) + b"x" * 100_000)
            assert known.ask("PING")["error_msg"] is None
        finally:
            for peer in peers:
                peer.socket.close()
        wait_until(lambda: server.count("connections") == 1, "all others are gone")
        server.run("limit(0)")
        assert known.ask("GET")["error_msg"] is None
        answers_at_once(server)


@pytest.mark.parametrize("cmd", ["SET", "SUBSCRIBE", "GET ARRAYS"])
def test_a_request_for_which_python_has_no_memory(cmd: str) -> None:
    """It came whole, but cannot be handed over: its client is told, and all commands are served."""
    subscribe = {"stream": "s", "subscription": 1, "start": "latest", "messages": 9, "bytes": 99}
    payload = {"positions": 1, **subscribe}
    with (
        ServedApart(LIMIT, max_message_bytes=200 * MIB) as server,
        Peer(server) as known,
        RawPeer(server) as large,
    ):
        server.run("server.declare_stream('s')")
        for each in ("SET", "SUBSCRIBE", "GET ARRAYS"):
            assert known.ask(each, payload)["error_msg"] is None
        server.run("limit(120)")
        large.send(request(cmd, {**payload, "pad": "x" * (100 * MIB)}))
        assert "busy" in large.receive()["error_msg"]
        for each in ("SET", "SUBSCRIBE", "GET ARRAYS"):
            assert known.ask(each, payload)["error_msg"] is None
        server.run("limit(0)")
        large.send(request("SET", payload))
        assert large.receive()["error_msg"] is None
