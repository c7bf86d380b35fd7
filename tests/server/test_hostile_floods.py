"""Peers that send more than anybody can take, or take less than they ask for; others are served."""

from __future__ import annotations

import time

import pytest
from support.isolated import Child
from support.machine import LINUX, memory, within
from support.peers import Peer, request
from support.raw_peers import RawPeer
from support.served_apart import ServedApart, answers_at_once
from support.serving import serving
from support.waiting import wait_until

from laplace_server.stats import ErrorKind

pytestmark = [pytest.mark.transports("tcp")]

MIB = 1 << 20
PING = b"\x04\x09\x04PING\x00\x00ab"
PONG = b"\x04\x07\x04PONGab"
EMPTY = RawPeer.frame(b"", more=True)
A_PING = EMPTY + RawPeer.frame(request("PING"))


FLOOD = """
import contextlib, sys, threading
from support.raw_peers import RawPeer

class Address:
    server_port = sys.argv[1]

piece, reads = bytes.fromhex(sys.argv[2]) * int(sys.argv[3]), sys.argv[4] == "True"
sent = [0] * int(sys.argv[5])

def flood(which):
    with RawPeer(Address) as peer:
        peer.socket.settimeout(0.2)
        while True:
            with contextlib.suppress(TimeoutError):
                sent[which] += peer.socket.send(piece)
                if reads:
                    peer.socket.recv(1 << 20)

for which in range(len(sent)):
    threading.Thread(target=flood, args=(which,), daemon=True).start()
for line in sys.stdin:
    print(min(sent), flush=True)
"""


class Flood:
    """Peers in a process of their own, that send the same again and again."""

    def __init__(
        self, server: ServedApart, piece: bytes, times: int, reads: bool = False, number: int = 1
    ) -> None:
        arguments = (server.server_port, piece.hex(), str(times), str(reads), str(number))
        self._child = Child(FLOOD, *arguments)

    def __enter__(self) -> Flood:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close()

    def sent(self) -> int:
        """Bytes that each could send, so far."""
        self._child.tell("")
        return int(self._child.hear())


FLOODS = {
    "requests": (A_PING, 500, False),
    "requests, answers read": (A_PING, 500, True),
    "requests for Python": (EMPTY + RawPeer.frame(request("ECHO")), 500, False),
    "errors": (EMPTY + RawPeer.frame(b"no"), 5000, False),
    "tiny frames": (b"\0\0", 100_000, False),
    "empty messages": (EMPTY + b"\0\0", 50_000, False),
    "many frames": (EMPTY * 100 + b"\0\0", 1000, False),
    "large bodies": (EMPTY + RawPeer.frame(b"x" * 30_000), 30, False),
    "PING": (PING, 10_000, False),
    "PING, answers read": (PING, 10_000, True),
    "PONG": (PONG, 10_000, False),
    "unknown commands": (b"\4\6\5HELLO", 10_000, False),
    "SUBSCRIBE": (EMPTY + RawPeer.frame(request("SUBSCRIBE", {"stream": "data"})), 500, False),
}


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(not LINUX, reason="measures another process's memory as Linux counts it")
@pytest.mark.parametrize("name", FLOODS)
def test_quiet_clients_beside_a_flood(name: str) -> None:
    piece, times, reads = FLOODS[name]
    with ServedApart() as server, Peer(server) as quiet:
        server.run('server.set_data({"x": [1]}, copy=True)')
        assert quiet.ask("PING")["error_msg"] is None
        before = server.resident()
        with Flood(server, piece, times, reads, number=4) as flood:
            wait_until(lambda: flood.sent() > 0, "all flood")
            waits = []
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                begun = time.monotonic()
                assert quiet.ask("GET")["error_msg"] is None
                waits.append(time.monotonic() - begun)
            # What Python has to decode is bounded apart from the rest.
            assert server.resident() - before < memory(4 * (16 + 64) + 100)
        # Not the longest: four peers that flood keep a small machine from everybody.
        assert sorted(waits)[len(waits) // 2] < within(0.05)
        wait_until(lambda: server.count("connections") == 1, "the floods have gone")
        answers_at_once(server)
        wait_until(lambda: server.resident() - before < memory(64 + 8), "memory is back", within(5))


@pytest.mark.alone
@pytest.mark.skipif(not LINUX, reason="measures another process's memory as Linux counts it")
@pytest.mark.parametrize("piece", [PING, A_PING], ids=["PING", "requests"])
def test_who_reads_nothing_costs_its_budget(piece: bytes) -> None:
    with ServedApart(max_waiting_bytes=MIB) as server:
        answers_at_once(server)
        before = server.resident()
        with Flood(server, piece, 1000) as flood:
            wait_until(lambda: flood.sent() > 20 * MIB, "much was sent")
            answers_at_once(server)
            assert server.resident() - before < memory(8)
            assert server.count("waiting_bytes") <= 2 * MIB
            assert server.count("parked_bytes") <= 2 * MIB
        wait_until(lambda: server.count("connections") == 0, "it has gone")
        assert server.count("waiting_bytes") == server.count("parked_bytes") == 0


def test_pings_are_answered_in_order_when_their_sender_reads() -> None:
    with serving() as server, RawPeer(server) as peer:
        for i in range(1000):
            peer.socket.sendall(b"\x04\x0b\x04PING\x00\x00" + b"%04d" % i)
        answers = peer.read_exactly(1000 * 11)
        assert answers == b"".join(b"\x04\x09\x04PONG" + b"%04d" % i for i in range(1000))


@pytest.mark.alone
def test_a_peer_that_reads_a_byte_at_a_time() -> None:
    """Others are served meanwhile, and it gets all it asked for."""
    data = {"x": "y" * 3 * MIB}
    with serving() as server, RawPeer(server) as slow, Peer(server) as other:
        server.set_data(data, copy=True)
        slow.send(request("GET"))
        slow.send(request("PING"))
        wait_until(lambda: server.stats().waiting_bytes > 0, "it waits")
        got = bytearray()
        longest = 0.0
        for _ in range(200):
            got += slow.read_exactly(1)
            begun = time.monotonic()
            assert other.ask("PING")["error_msg"] is None
            longest = max(longest, time.monotonic() - begun)
        assert longest < within(0.1)
        assert server.stats().waiting_bytes > 0
        size = int.from_bytes(got[3:11], "big")
        got += slow.read_exactly(2 + 9 + size - len(got))
        assert bytes(got).count(b"y") > 3 * MIB
        assert slow.receive()["payload"] == {"PING": "PONG"}
        wait_until(lambda: server.stats().waiting_bytes == 0, "nothing waits any more")
        assert server.stats().errors[ErrorKind.REPLY_OVERFLOW] == 0
