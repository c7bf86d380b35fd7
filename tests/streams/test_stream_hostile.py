"""Subscribers that want to do harm, or do it without knowing: the others and the server go on."""

from __future__ import annotations

import contextlib
import json
import struct
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import zmq
from support.machine import memory, resident
from support.peers import PATIENCE_S, Peer, request
from support.proxy import zmq_proxy
from support.raw_peers import RawPeer
from support.serving import MakeServer
from support.stream_peers import (
    ALIVE,
    CREDIT,
    LEAVE,
    MAGIC,
    MOST,
    UPDATES,
    Book,
    WirePeer,
    at_rest,
    control,
)
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.stats import ErrorKind

MEGABYTE = 1 << 20
# What may be on its way to a connection that does not read: max_waiting_bytes, an update more, and
# what libzmq takes in small messages.
DEAF = (16 << 20) + 2 * MEGABYTE


@pytest.fixture
def server(make_server: Any) -> ServerLHC:
    server: ServerLHC = make_server()
    server.declare_stream("s", history_bytes=8 * MEGABYTE)
    return server


@pytest.fixture
def quick(server: ServerLHC) -> Iterator[Any]:
    """Somebody who follows as he should."""
    with ClientLHC(f"tcp://127.0.0.1:{server.server_port}", timeout_s=PATIENCE_S) as client:
        with client.subscribe("s") as subscription:
            yield subscription


def wanted(number: int = 1, stream: str = "s", sender: str = "raw", **more: Any) -> bytes:
    payload = {"stream": stream, "subscription": number, "start": "latest"}
    return request("SUBSCRIBE", {**payload, "messages": MOST, "bytes": MOST, **more}, sender=sender)


def follow_deaf(server: ServerLHC) -> RawPeer:
    """Subscribed with endless credit; reads only when asked."""
    peer = RawPeer(server)
    peer.send(wanted())
    assert peer.receive()["error_msg"] is None
    return peer


def lags(server: ServerLHC) -> list[int]:
    return sorted(seen.lag for seen in server.stats().subscribers)


# ---- who does not read


@pytest.mark.parametrize("kind", ["array", "given away", "text", "small"])
def test_who_allows_everything_and_reads_nothing(server: ServerLHC, quick: Any, kind: str) -> None:
    """The window of his connection is shut; the others get all, memory has an end."""
    peers = [follow_deaf(server) for _ in range(3)]
    try:
        before = resident()
        for n in range(1, 401):
            if kind == "small":
                for _ in range(300):
                    last = server.publish("s", {"pad": "p" * 300})
            elif kind == "text":
                last = server.publish("s", {"pad": "p" * MEGABYTE})
            else:
                array = np.full(MEGABYTE, n % 256, "u1")
                last = server.publish("s", {"a": array}, copy=kind == "array")
            while quick.next(PATIENCE_S).seq < last:
                pass
        assert quick.lost == 0
        assert resident() - before < memory(3 * DEAF / MEGABYTE + 8 + 24)
        # What was sent is written down when libzmq has it, and may arrive before.
        wait_until(lambda: lags(server)[0] == 0, "the quick one has all")
        assert lags(server)[1] > 0
    finally:
        for peer in peers:
            peer.socket.close()
    wait_until(lambda: len(server.stats().subscribers) == 1, "they are forgotten")
    server.publish("s", {})
    wait_until(lambda: resident() - before < memory(40), "their memory is given back")


def test_who_reads_again_hears_what_he_missed(server: ServerLHC) -> None:
    """After a long sleep: first what was on the way, then the gap, then the present."""
    server.declare_stream("s", history_bytes=MEGABYTE)
    book = Book(server)
    with WirePeer(server, high_water=1) as peer:
        sleeper = peer.subscribe("s")
        for n in range(100):
            book.publish("s", {"n": n}, np.zeros(MEGABYTE, "u1"))
        peer.read_until(lambda: sleeper.next == 101, "the last one")
        assert sleeper.lost > 0
        found = at_rest(server, [peer])
        sleeper.agree(found[sleeper.who], 100)
        sleeper.verify(book, server._core.streams.range_of("s")[0])


def test_requests_of_who_does_not_read_a_stream_are_answered_in_their_turn(
    server: ServerLHC,
) -> None:
    """A stream that fills a connection does not starve the answers on it, and a subscription's
    answer comes before its updates."""
    server.declare_stream("t")
    with RawPeer(server) as peer:
        peer.send(wanted(1))
        peer.receive()
        for _ in range(2000):
            server.publish("s", {"pad": "p" * 30_000})
        wait_until(lambda: server.stats().subscribers[0].lag > 0, "no more fits")
        peer.send(wanted(2, "t", sender="second"))
        peer.send(request("PING", sender="third"))
        wait_until(lambda: len(server.stats().subscribers) == 2, "the second is granted")
        for _ in range(2000):
            server.publish("t", {"pad": "p" * 3000})
        begun = server.stats().subscribers
        assert begun[0].lag > 0
        answers: list[str] = []
        updates = {1: 0, 2: 0}
        while len(answers) < 2:
            body = peer.receive_frames()[1]
            if body[:4] != MAGIC:
                answers.append(json.loads(body)["to"])
                assert updates[2] == 0, "updates came before the answer"
            elif body[5] == UPDATES:
                updates[struct.unpack_from("<I", body, 8)[0]] += 1
        assert answers == ["second", "third"]


# ---- floods


def flood(peer: RawPeer, message: bytes, seconds: float) -> int:
    """Send until nothing is taken any more, or time is up; nothing is read."""
    peer.socket.settimeout(0.5)
    deadline = time.monotonic() + seconds
    sent = 0
    try:
        while time.monotonic() < deadline:
            peer.socket.sendall(message)
            sent += 1
    except TimeoutError:
        pass
    return sent


@pytest.mark.parametrize("kind", [CREDIT, LEAVE])
def test_a_flood_of_words_about_subscriptions_that_are_none(
    server: ServerLHC, quick: Any, kind: int
) -> None:
    before = resident()
    with RawPeer(server) as peer:
        words = b"".join(peer.message([b"", control(kind, n, 1, 1)]) for n in range(1000))
        assert flood(peer, words, 1.0) > 10
        assert server.publish("s", {}) == quick.next(PATIENCE_S).seq
    assert resident() - before < memory(16)


def test_a_flood_of_subscribe(server: ServerLHC, quick: Any) -> None:
    """No more are taken than a connection may have; whoever follows already is followed on."""
    before = resident()
    with RawPeer(server) as peer:
        for first in range(0, 20_000, 1000):
            words = b"".join(peer.message([b"", wanted(first + n)]) for n in range(1000))
            peer.socket.sendall(words)
        refused = ErrorKind.SUBSCRIPTIONS
        wait_until(lambda: server.stats().errors[refused] > 0, "as many as there may be")
        assert len(server.stats().subscribers) == 256 + 1
        for _ in range(100):
            assert server.publish("s", {}) == quick.next(PATIENCE_S).seq
        assert resident() - before < memory(150)
    wait_until(lambda: len(server.stats().subscribers) == 1, "they are forgotten")


def test_1024_subscriptions_of_one_peer(make_server: MakeServer) -> None:
    server = make_server(max_subscriptions_per_connection=1024)
    server.declare_stream("s", history_bytes=8 * MEGABYTE)
    book = Book(server)
    with WirePeer(server) as peer:
        for number in range(1024):
            peer.subscribe("s", number=number, latest_only=number % 3 == 0)
        for n in range(50):
            book.publish("s", {"n": n})
        found = at_rest(server, [peer])
        assert len(found) == 1024
        for subscriber in peer.subscribers.values():
            subscriber.agree(found[subscriber.who], 50)
            subscriber.verify(book, 1)
            assert subscriber.next == 51
        for number in range(1024):
            peer.send(control(LEAVE, number))
        peer.barrier()
        assert server.stats().subscribers == ()


def test_subscriptions_that_come_and_go_leave_nothing(server: ServerLHC) -> None:
    def come_and_go(count: int) -> None:
        for n in range(count):
            with WirePeer(server) as peer:
                for number in range(10):
                    peer.subscribe("s", number=number % 4)
                server.publish("s", {"array": np.zeros(200_000, "u1")})
                if n % 2:
                    peer.read(5)
                    peer.leave(1)
        wait_until(lambda: server.stats().subscribers == (), "all are forgotten")

    come_and_go(60)
    before = resident()
    come_and_go(200)
    assert resident() - before < memory(16)


# ---- who it is


def test_a_long_name_and_a_long_route_are_not_kept(server: ServerLHC) -> None:
    """What a peer says of itself, and what stands before its words, is its own to remember."""
    before = resident()
    with RawPeer(server) as peer:
        refused = 0
        for number in range(100):
            route, sender = b"r" * MEGABYTE, "w" * MEGABYTE
            peer.send_frames([route, b"", wanted(number, sender=sender, bytes=0)])
            frames = peer.receive_frames()
            while frames[2][:4] == MAGIC:
                frames = peer.receive_frames()
            refused += json.loads(frames[2])["error_msg"] is not None
        assert resident() - before < memory(40)
    wait_until(lambda: server.stats().subscribers == (), "all are forgotten")


@pytest.mark.parametrize(
    "ids", [(b"cam1", b"cam2"), (b"a", b"b"), (b"same", b"same\0"), (b"12345", b"12346")]
)
def test_peers_behind_one_connection_are_told_apart(
    server: ServerLHC, ids: tuple[bytes, bytes]
) -> None:
    """Under the same number, whatever their routing ids, also of four bytes."""
    book = Book(server)
    one, two = ids
    with (
        zmq_proxy(server) as address,
        WirePeer(address, routing_id=one) as first,
        WirePeer(address, routing_id=two) as second,
    ):
        subscribers = [peer.subscribe("s", number=1) for peer in (first, second)]
        assert len(server.stats().subscribers) == 2
        for n in range(10):
            book.publish("s", {"n": n})
        found = at_rest(server, [first, second])
        for subscriber in subscribers:
            subscriber.agree(found[subscriber.who], 10)
            subscriber.verify(book, 1)
            assert subscriber.next == 11
        first.leave(1)
        book.publish("s", {"n": 10})
        second.read_until(lambda: subscribers[1].next == 12, "the other one goes on")


def test_a_subscriber_behind_proxies(server: ServerLHC) -> None:
    """The route is long, and comes back as it was."""
    book = Book(server)
    with zmq_proxy(server) as one, zmq_proxy(one) as address:
        with WirePeer(address) as peer, WirePeer(address, route=[b"x" * 200, b"y"]) as other:
            subscribers = peer.subscribe("s"), other.subscribe("s", latest_only=True)
            for n in range(100):
                book.publish("s", {"n": n}, np.arange(100, dtype="<u2"))
            at_rest(server, [peer, other])
            assert [subscriber.next for subscriber in subscribers] == [101, 101]
            for subscriber in subscribers:
                subscriber.verify(book, 1)
            assert subscribers[0].lost == 0


# ---- sockets of other kinds


def test_a_req_socket_that_subscribes_can_still_ask(server: ServerLHC) -> None:
    """It cannot take updates: libzmq drops them, or takes one under way for the answer."""
    with Peer(server) as peer:
        assert peer.ask("SUBSCRIBE", json.loads(wanted())["payload"])["error_msg"] is None
        for _ in range(5):
            server.publish("s", {})
        wait_until(lambda: server.stats().subscribers[0].lag == 0, "all is sent")
        server.declare_stream("t")
        for _ in range(20):
            body = MAGIC
            while body[:4] == MAGIC:
                peer.send(request("PING"))
                (body,) = peer.receive_frames()
            assert json.loads(body)["payload"] == {"PING": "PONG"}
    wait_until(lambda: server.stats().subscribers == (), "it is forgotten")


@pytest.mark.parametrize("kind", [zmq.SUB, zmq.PULL, zmq.PUB, zmq.PUSH])
def test_sockets_that_do_not_fit_are_no_harm(server: ServerLHC, quick: Any, kind: int) -> None:
    with Peer(server, kind) as peer:
        if kind == zmq.SUB:
            peer.socket.subscribe(b"")
        elif kind != zmq.PULL:
            peer.socket.sndtimeo = 0
            for body in (wanted(), control(CREDIT, 1, 5, 5)):
                with contextlib.suppress(zmq.Again):
                    peer.send_frames([b"", body])
        assert server.publish("s", {}) == quick.next(PATIENCE_S).seq
        assert len(server.stats().subscribers) == 1


def test_a_router_may_follow(server: ServerLHC) -> None:
    """As a DEALER: it names its peer itself."""
    with Peer(server, zmq.ROUTER) as peer:
        peer.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        peer.socket.setsockopt(zmq.CONNECT_ROUTING_ID, b"server")
        peer.socket.connect(peer.address)
        peer.send_frames([b"server", b"", wanted()])
        assert json.loads(peer.receive_frames()[2])["error_msg"] is None
        server.publish("s", {"n": 1}, timestamp=1.0)
        while (frames := peer.receive_frames())[2][5] == ALIVE:
            pass
        assert frames[2].endswith(b'[{"n":1}]')
