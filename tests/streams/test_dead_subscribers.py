"""Subscribers that take nothing and say nothing: forgotten after a while, also behind a proxy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.peers import PATIENCE_S
from support.proxy import zmq_proxy
from support.serving import limited, serving
from support.stream_peers import CREDIT, Book, WirePeer, control
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.server import _core

SILENCE_MS = 300


@pytest.fixture
def server() -> Iterator[ServerLHC]:
    with serving(kind=limited(subscriber_silence_ms=SILENCE_MS)) as server:
        server.declare_stream("s", history_bytes=1 << 20)
        yield server


def stuck(server: ServerLHC | str, book: Book, **arguments: Any) -> WirePeer:
    """A peer that may be sent one message of two updates, and has been."""
    peer = WirePeer(server)
    subscriber = peer.subscribe("s", messages=1, **arguments)
    book.publish("s", {"n": 1})
    peer.read_until(lambda: subscriber.sent == 1, "the first update")
    book.publish("s", {"n": 2})
    return peer


@pytest.mark.parametrize("proxied", [False, True])
def test_a_dead_one_is_forgotten(server: ServerLHC, proxied: bool) -> None:
    """Behind a proxy no end of a connection tells of it."""
    book = Book(server)
    with zmq_proxy(server) as address:
        dead = stuck(address if proxied else server, book)
        # The server counts an update as sent when it has left, and so may have arrived.
        wait_until(lambda: [seen.sent for seen in server.stats().subscribers] == [1], "it is sent")
        dead.close()
        wait_until(lambda: server.stats().subscribers == (), "it is forgotten")
        assert server.publish("s", {}) == 3


def test_a_living_one_is_told_and_goes_on_where_it_was(server: ServerLHC) -> None:
    book = Book(server)
    with stuck(server, book) as frozen:
        frozen.read_until(lambda: frozen.unknown[1] == 1, "the word that it is unknown")
        assert server.stats().subscribers == ()
        book.publish("s", {"n": 3})
        again = frozen.subscribe("s", start=frozen.subscribers[1].next)
        frozen.read_until(lambda: again.sent == 2, "what it has not been sent")
        again.verify(book, server._core.streams.range_of("s")[0])
        assert (again.first, again.lost) == (2, 0)


def test_whoever_gives_credit_stays(server: ServerLHC) -> None:
    """However little: it may be slow, and is not dead."""
    book = Book(server)
    with stuck(server, book) as slow, WirePeer(server) as witness:
        # Silent from now on; it is forgotten after a time in which the slow one says something.
        for peer in (slow, witness):
            peer.subscribe("s", number=2, messages=0, start=1)
        while len(server.stats().subscribers) > 2:
            for number in (1, 2):
                slow.send(control(CREDIT, number, 0, 0, 1))
            slow.barrier()
            witness.read_on()
        witness.read_until(lambda: witness.unknown[2] == 1, "the witness is forgotten")
        assert not slow.unknown
        assert sorted(seen.who for seen in server.stats().subscribers) == sorted(
            subscriber.who for subscriber in slow.subscribers.values()
        )


def test_one_that_publishers_wait_for_stays_until_they_do_not(server: ServerLHC) -> None:
    server.declare_stream("b", history_bytes=4096, policy="block", block_timeout_s=0.5)
    with WirePeer(server) as slow, WirePeer(server) as other:
        slow.subscribe("b", messages=0)
        other.subscribe("s", messages=0)
        other.read_until(lambda: other.unknown[1] == 1, "the other is forgotten")
        assert [seen.stream for seen in server.stats().subscribers] == ["b"]
        publisher = threading.Thread(target=_publish_much, args=(server, "b"))
        publisher.start()
        slow.read_until(lambda: slow.unknown[1] == 1, "then this one is, too")
        publisher.join(PATIENCE_S)
        assert not publisher.is_alive()
        assert server.stats().subscribers == ()


def _publish_much(server: ServerLHC, stream: str) -> None:
    for n in range(100):
        server.publish(stream, {"n": n, "text": "x" * 200})


def test_with_credit_one_may_be_silent(server: ServerLHC) -> None:
    """It is sent what comes, and shows then whether it takes it."""
    book = Book(server)
    with WirePeer(server) as quiet, WirePeer(server) as witness:
        subscriber = quiet.subscribe("s")
        witness.subscribe("s", messages=0)
        witness.read_until(lambda: witness.unknown[1] == 1, "who has none is forgotten")
        book.publish("s", {"n": 1})
        quiet.read_until(lambda: subscriber.sent == 1, "the update")


@pytest.mark.slow
def test_as_many_dead_ones_as_there_may_be_keep_out_nobody() -> None:
    """They count as dead when they have not answered for eight words, one a second."""
    limit = {"max_subscriptions_per_connection": _core.MAX_SUBSCRIPTIONS}
    with serving(**limit) as server, zmq_proxy(server) as address:
        server.declare_stream("s")
        with WirePeer(address) as dead:
            for number in range(_core.MAX_SUBSCRIPTIONS):
                dead.subscribe("s", number=number)
        assert len(server.stats().subscribers) == _core.MAX_SUBSCRIPTIONS
        with WirePeer(server) as peer:
            refused = peer.ask("SUBSCRIBE", _wanted(1))
            assert "no more are taken" in refused["error_msg"]
            wait_until(lambda: server._core.streams.answering() == 0, "all count as dead", 60)
            subscriber = peer.subscribe("s")
            book = Book(server)
            book.publish("s", {"n": 1})
            peer.read_until(lambda: subscriber.sent == 1, "the update")
            assert len(server.stats().subscribers) == _core.MAX_SUBSCRIPTIONS


def _wanted(number: int) -> dict[str, Any]:
    return {"stream": "s", "subscription": number, "start": "latest", "messages": 0, "bytes": 0}
