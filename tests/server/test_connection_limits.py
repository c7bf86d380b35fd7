"""The limits of connections, each at its edge."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from support.machine import LINUX
from support.peers import PATIENCE_S, Peer, ask, request
from support.proxy import zmq_proxy
from support.raw_peers import RawPeer, connect_tcp
from support.serving import Gate, serving
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.stats import ErrorKind, Refusal

pytestmark = pytest.mark.transports("tcp")

TOO_LARGE = "Request too large: the server takes {} bytes (max_message_bytes)."
TOO_MANY_FRAMES = "Request of too many frames: the server takes {} (max_message_frames)."


def sized(size: int) -> bytes:
    """A SET of exactly so many bytes."""
    return request("SET", {"positions": "x" * (size - len(request("SET", {"positions": ""})))})


def closes(peer: RawPeer) -> bool:
    """Whether the server ends the connection in order, and sends nothing more."""
    peer.socket.settimeout(PATIENCE_S)
    return peer.socket.recv(1) == b""


def error_of(frames: list[bytes]) -> str | None:
    error: str | None = json.loads(frames[-1])["error_msg"]
    return error


# ---- of one message


@pytest.mark.parametrize("route", [[], [b"1234567"], [b"x" * 300, b"y"]], ids=["", "7", "301"])
@pytest.mark.parametrize("limit", [520, 2000, 70_000])
def test_bytes_of_a_message(limit: int, route: list[bytes]) -> None:
    """All its frames count, those of the route too."""
    before = sum(map(len, route))
    with serving(max_message_bytes=limit) as server, RawPeer(server) as peer:
        for _ in range(3):
            peer.send_frames([*route, b"", sized(limit - before)])
            assert error_of(frames := peer.receive_frames()) is None
            assert frames[:-1] == [*route, b""]
        peer.send_frames([*route, b"", sized(limit - before + 1)])
        assert error_of(frames := peer.receive_frames()) == TOO_LARGE.format(limit)
        assert frames[:-1] == [*route, b""]
        assert closes(peer)
        stats = server.stats()
        assert stats.refused[Refusal.MESSAGE_SIZE] == 1
        assert (stats.commands["SET"].python, stats.errors[ErrorKind.MALFORMED]) == (3, 1)


def test_bytes_of_a_message_of_several_frames() -> None:
    with serving(max_message_bytes=1000) as server, RawPeer(server) as peer:
        peer.send_frames([b"", *[b"x" * 100] * 10])
        assert error_of(peer.receive_frames()) == "A request must be one frame."
        peer.send_frames([b"", *[b"x" * 100] * 10, b"y"])
        assert error_of(peer.receive_frames()) == TOO_LARGE.format(1000)
        assert closes(peer)


@pytest.mark.parametrize("route", [0, 1, 6])
def test_frames_of_a_message(route: int) -> None:
    before = [b"r%d" % number for number in range(route)]
    with serving(max_message_frames=route + 2) as server, RawPeer(server) as peer:
        peer.send_frames([*before, b"", request("PING")])
        assert error_of(peer.receive_frames()) is None
        peer.send_frames([*before, b"", request("PING"), b""])
        assert error_of(frames := peer.receive_frames()) == TOO_MANY_FRAMES.format(route + 2)
        assert frames[:-1] == [*before, b""]
        assert closes(peer)
        assert server.stats().refused[Refusal.MESSAGE_FRAMES] == 1


@pytest.mark.parametrize("limits", [{"max_message_bytes": 1000}, {"max_message_frames": 10}])
def test_who_cannot_be_told_is_closed_at_once(limits: dict[str, int]) -> None:
    """No empty frame has come: nobody knows what would lead back."""
    with serving(**limits) as server, RawPeer(server) as peer:
        peer.socket.sendall(peer.frame(b"r" * 100, more=True) * 11)
        assert closes(peer)
        assert sum(server.stats().refused.values()) == 1


def test_what_was_asked_before_is_answered_first() -> None:
    gate = Gate()
    with serving(max_message_bytes=1000) as server, RawPeer(server) as peer:
        server.set_on_position_changed(gate)
        for number in (1, 2):
            peer.send(request("SET", {"positions": number}, sender=number))
        peer.send(sized(1001))
        peer.send(request("PING"))  # behind it, nothing is read
        wait_until(lambda: server.stats().refused[Refusal.MESSAGE_SIZE] == 1, "it is refused")
        gate.open()
        assert [peer.receive()["to"] for _ in range(2)] == [1, 2]
        assert peer.receive()["error_msg"] == TOO_LARGE.format(1000)
        assert closes(peer)
        assert gate.calls == [1, 2]


def test_the_rest_of_what_is_too_large_is_thrown_away() -> None:
    """Else it would break the connection before the answer is read."""
    with serving(max_message_bytes=1000) as server, RawPeer(server) as peer:
        peer.send(bytes(8 << 20))
        assert peer.receive()["error_msg"] == TOO_LARGE.format(1000)
        assert closes(peer)


def test_all_behind_a_proxy_share_its_connection() -> None:
    """Who breaks a limit is told, and the proxy has to connect again."""
    with serving(max_message_bytes=1000) as server, zmq_proxy(server) as address:
        with Peer(address) as good, Peer(address) as bad:
            assert good.ask(sized(900))["error_msg"] is None
            assert bad.ask(sized(1000))["error_msg"] == TOO_LARGE.format(1000)
            wait_until(lambda: server.stats().connections_total == 2, "the proxy comes again")
            for peer in (good, bad):
                assert peer.ask("PING")["error_msg"] is None
        assert sum(server.stats().refused.values()) == 1


# ---- what waits for one


def test_replies_that_wait_for_one_connection() -> None:
    """Those of callbacks that find no room are dropped; nothing else happens to the connection."""
    limit, size, asked, gate = 1 << 20, 100_000, 300, Gate()

    def big(server: ServerLHC, message: Any, target: Any) -> dict[str, str]:
        if not gate.calls:
            gate()
        return {"x": "y" * size}

    with serving(max_waiting_bytes=limit) as server, RawPeer(server) as deaf:
        server.register_handler("BIG", big)
        for number in range(1, asked + 1):
            deaf.send(request("BIG", sender=number))
        wait_until(lambda: server.stats().queue_depth == asked, "all are queued")
        gate.open()
        wait_until(lambda: server.stats().queue_depth == 0, "all were handled")
        stats = server.stats()
        dropped = stats.errors[ErrorKind.REPLY_OVERFLOW]
        assert dropped > 0
        assert limit - 2 * (size + 2000) < stats.waiting_bytes + stats.parked_bytes <= limit
        assert ask(server, "PING")["error_msg"] is None
        came = [deaf.receive()["to"] for _ in range(asked - dropped)]
        assert came == sorted(came)
        assert len(set(came)) == asked - dropped
        deaf.send(request("PING"))
        assert deaf.receive()["cmd"] == "PING", "nothing was between: the connection stays"
        assert sum(server.stats().refused.values()) == 0
        wait_until(lambda: server.stats().waiting_bytes == 0, "nothing waits any more")


def test_reads_that_a_deaf_peer_asks_for_wait_unanswered() -> None:
    """Nothing is lost: they are answered when there is room."""
    with serving(max_waiting_bytes=1 << 20) as server, RawPeer(server) as deaf:
        server.set_data({"x": "y" * 100_000}, copy=True)
        for number in range(1, 301):
            deaf.send(request("GET", sender=number))
        wait_until(lambda: server.stats().queue_depth > 0, "requests wait")
        assert [deaf.receive()["to"] for _ in range(300)] == list(range(1, 301))
        assert server.stats().errors[ErrorKind.REPLY_OVERFLOW] == 0


def test_one_reply_always_fits() -> None:
    with serving(max_waiting_bytes=1) as server, RawPeer(server) as peer:
        server.set_data({"x": "y" * (16 << 20)}, copy=True)
        for _ in range(2):
            peer.send(request("GET"))
            assert len(peer.receive()["payload"]["data"]["x"]) == 16 << 20
        assert server.stats().errors[ErrorKind.REPLY_OVERFLOW] == 0


# ---- connections


@contextlib.contextmanager
def asking(server: ServerLHC, count: int) -> Iterator[list[Peer]]:
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(server)) for _ in range(count)]
        for peer in peers:
            assert peer.ask("PING")["error_msg"] is None
        yield peers


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("max_connections", Refusal.CONNECTIONS),
        ("max_connections_per_address", Refusal.ADDRESS),
    ],
)
def test_who_is_one_too_many_waits_for_its_turn(limit: str, reason: Refusal) -> None:
    """libzmq connects again until there is room."""
    with serving(**{limit: 3}) as server, asking(server, 3) as peers, Peer(server) as late:
        late.send("SET", {"positions": 1})
        wait_until(lambda: server.stats().refused[reason] >= 2, "it is refused")
        for peer in peers:
            assert peer.ask("PING")["error_msg"] is None
        assert server.stats().connections == 3
        peers[1].close()
        assert late.receive()["error_msg"] is None
        assert peers[0].ask("PING")["error_msg"] is None
        assert server.stats().connections == 3


@pytest.mark.skipif(not LINUX, reason="elsewhere 127.0.0.2 is not this machine")
def test_each_address_has_its_own_limit() -> None:
    with serving("tcp://127.0.0.1:*", max_connections_per_address=2) as server:
        with asking(server, 2), socket.socket() as other:
            other.bind(("127.0.0.2", 0))
            other.connect(("127.0.0.1", int(server.server_port)))
            other.settimeout(PATIENCE_S)
            assert other.recv(64), "the server's greeting"
        assert sum(server.stats().refused.values()) == 0


def test_those_that_never_asked_give_way_in_order() -> None:
    with serving(max_connections=4) as server, contextlib.ExitStack() as stack:
        (busy,) = stack.enter_context(asking(server, 1))
        silent = [stack.enter_context(RawPeer(server)) for _ in range(3)]
        newer = [stack.enter_context(asking(server, 1))[0] for _ in range(2)]
        assert closes(silent[0])
        assert closes(silent[1])
        silent[2].send(request("PING"))
        assert silent[2].receive()["error_msg"] is None
        for peer in (busy, *newer):
            assert peer.ask("PING")["error_msg"] is None
        stats = server.stats()
        assert {reason: count for reason, count in stats.refused.items() if count} == {
            Refusal.DISPLACED: 2
        }
        assert stats.connections == 4


@pytest.mark.parametrize("handshake", [b"", RawPeer.GREETING[:63], RawPeer.GREETING + b"\x04"])
def test_time_for_the_handshake(handshake: bytes) -> None:
    with serving(handshake_timeout_ms=100) as server, RawPeer(server) as done:
        with connect_tcp(server) as slow:
            slow.settimeout(PATIENCE_S)
            slow.sendall(handshake)
            while slow.recv(100):  # the server's greeting, then the end
                pass
        assert server.stats().refused[Refusal.HANDSHAKE_TIMEOUT] == 1
        done.send(request("PING"))  # it began before that one
        assert done.receive()["error_msg"] is None


# ---- who is who


def test_two_clients_of_one_name() -> None:
    with serving() as server, contextlib.ExitStack() as stack:
        server.register_handler("WHO", lambda server, message, target: {"who": target})
        kinds = (zmq.REQ, zmq.DEALER, zmq.REQ)
        peers = [stack.enter_context(Peer(server, kind, routing_id=b"same")) for kind in kinds]
        for _ in range(3):
            for number, peer in enumerate(peers, 1):
                peer.send("WHO", sender=number)
            for number, peer in enumerate(peers, 1):
                assert peer.receive()["payload"] == {"who": number}
        wait_until(lambda: server.stats().connections == 3, "each is one")
