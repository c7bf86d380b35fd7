"""Random programs against a model: publishers, histories far too small, credit given and withheld.

What must hold for each message is in ``stream_peers.Subscriber``; here is what happens around it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.machine import within
from support.peers import PATIENCE_S
from support.stream_peers import (
    CREDIT,
    LEAVE,
    MOST,
    PLENTY,
    Book,
    Subscriber,
    WirePeer,
    at_rest,
    control,
)
from support.waiting import wait_until

from laplace_server import ServerLHC

EXAMPLES = int(os.environ.get("LAPLACE_STREAM_EXAMPLES", "30"))
STREAMS = ("a", "b", 'quote " \\ \n \0 é 漢 😀')

histories = st.tuples(
    st.sampled_from([0, 1, 2_000, 20_000, 200_000, 64 << 20]),
    st.sampled_from([None, None, 1, 2, 5, 100]),
)
streams = st.sampled_from(STREAMS)
numbers = st.sampled_from([0, 1, 2, 2**32 - 1])
peers = st.integers(0, 2)
# None: as much as there can be.
amounts = st.sampled_from([0, 1, 2, 3, 10, 100, PLENTY, MOST])
sizes = st.sampled_from([0, 1, 65, 500, 10_000, 1_000_000, PLENTY, MOST])


def started() -> ServerLHC:
    server = ServerLHC("model", "tcp://127.0.0.1:*", 1, "MOTOR", refresh_timeout_ms=5000)
    server.start()
    return server


def end(server: ServerLHC) -> None:
    server.stop()
    server.join(PATIENCE_S)
    assert not server.is_alive()


def kept_from(server: ServerLHC, stream: str) -> int:
    first, last = server._core.streams.range_of(stream)
    assert 1 <= first <= last + 1
    assert last == 0 or first <= last, "the last update is kept in any case"
    return int(first)


class Program(RuleBasedStateMachine):
    """Steps in any order; the model of each subscription says at once what is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.server = started()
        self.book = Book(self.server)
        self.made = time.monotonic()
        self.peers = [WirePeer(self.server) for _ in range(3)]
        self.gone: set[str] = set()  # names of those whose connection was cut
        self.left: list[Subscriber] = []
        self.counts: dict[str, int | None] = {}
        self.published = 0

    @initialize(given=st.tuples(*[histories for _ in STREAMS]))
    def declare_all(self, given: tuple[tuple[int, int | None], ...]) -> None:
        for stream, history in zip(STREAMS, given, strict=True):
            self.declare(stream, history)

    # ---- the program around the server

    @rule(stream=streams, history=histories)
    def declare(self, stream: str, history: tuple[int, int | None]) -> None:
        """Also while it is followed, with a smaller history, or a larger one."""
        size, count = history
        self.server.declare_stream(stream, history_bytes=size, history_count=count)
        self.counts[stream] = count
        self.range_is_sound(stream)

    def range_is_sound(self, stream: str) -> None:
        first, last = self.server._core.streams.range_of(stream)
        assert last == self.book.last(stream)
        assert kept_from(self.server, stream) == first
        count = self.counts[stream]
        assert count is None or last - first + 1 <= count

    def publish_one(self, stream: str, pad: int, array: bool) -> None:
        self.published += 1
        data = {"n": self.published, "pad": "p" * pad}
        values = np.arange(pad, dtype="<u2") if array else None
        self.book.publish(stream, data, values)

    @rule(
        stream=streams,
        count=st.sampled_from([1, 1, 2, 10, 60, 300]),
        pad=st.sampled_from([0, 10, 300, 5_000]),
        array=st.booleans(),
    )
    def publish(self, stream: str, count: int, pad: int, array: bool) -> None:
        for _ in range(count if pad < 1000 else min(count, 10)):
            self.publish_one(stream, pad, array)
        self.range_is_sound(stream)

    @rule(stream=streams, pads=st.lists(st.sampled_from([0, 50, 3_000]), min_size=2, max_size=4))
    def publish_from_threads(self, stream: str, pads: list[int]) -> None:
        def work(pad: int) -> None:
            for n in range(20):
                self.book.publish(stream, {"n": n, "pad": "p" * pad})

        threads = [threading.Thread(target=work, args=(pad,)) for pad in pads]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        self.range_is_sound(stream)

    # ---- subscribers

    @rule(
        peer=peers,
        number=numbers,
        stream=streams,
        start=st.one_of(st.sampled_from(["latest", "newest", "oldest"]), st.floats(0, 1)),
        latest_only=st.booleans(),
        messages=amounts,
        size=sizes,
    )
    def subscribe(
        self,
        peer: int,
        number: int,
        stream: str,
        start: str | float,
        latest_only: bool,
        messages: int,
        size: int,
    ) -> None:
        """Also under a number that is in use; ``start`` as a part of all there were, too."""
        me = self.peers[peer]
        last = self.book.last(stream)
        first = kept_from(self.server, stream)
        asked = 1 + round(start * last) if isinstance(start, float) else start
        before = me.subscribers.get(number)
        subscriber = me.subscribe(
            stream,
            number=number,
            start=asked,
            latest_only=latest_only,
            messages=messages,
            size=size,
        )
        if before is not None:
            self.left.append(before)
        words = {"latest": last + 1, "newest": max(first, last), "oldest": first}
        wanted = words.get(str(asked), asked)
        assert subscriber.answer == {
            "stream": stream,
            "epoch": self.server.epoch,
            "first": first,
            "last": last,
            "next": wanted,
            "age_s": pytest.approx(0, abs=time.monotonic() - self.made),
        }

    @rule(peer=peers, data=st.data(), messages=amounts, size=sizes)
    def grant_more(self, peer: int, data: Any, messages: int, size: int) -> None:
        me = self.peers[peer]
        if me.subscribers:
            subscriber = me.subscribers[data.draw(st.sampled_from(sorted(me.subscribers)))]
            more = subscriber.credit[0] + messages, subscriber.credit[1] + size
            me.grant(subscriber.number, min(more[0], MOST), min(more[1], MOST))

    @rule(peer=peers, data=st.data(), messages=amounts, size=sizes)
    def grant_anything(self, peer: int, data: Any, messages: int, size: int) -> None:
        """Backwards, too."""
        me = self.peers[peer]
        if me.subscribers:
            me.grant(data.draw(st.sampled_from(sorted(me.subscribers))), messages, size)

    @rule(peer=peers, number=st.integers(10, 20), kind=st.sampled_from([CREDIT, LEAVE]))
    def speak_as_a_stranger(self, peer: int, number: int, kind: int) -> None:
        me = self.peers[peer]
        before = me.unknown[number]
        me.send(control(kind, number, 5, 5))
        me.barrier()
        assert me.unknown[number] == before + (kind == CREDIT)

    @rule(peer=peers, data=st.data())
    def leave(self, peer: int, data: Any) -> None:
        me = self.peers[peer]
        if me.subscribers:
            self.left.append(me.leave(data.draw(st.sampled_from(sorted(me.subscribers)))))

    @rule(peer=peers)
    def cut(self, peer: int) -> None:
        """A connection goes, with all its subscriptions; another one comes."""
        me = self.peers[peer]
        me.read_on()
        me.close()
        self.left += me.subscribers.values()
        self.gone |= {subscriber.who for subscriber in me.subscribers.values()}
        self.peers[peer] = WirePeer(self.server)

    # ---- what must hold

    @precondition(lambda self: self.published)
    @rule()
    def rest(self) -> None:
        found = at_rest(self.server, self.peers)
        living = {f.who: f for peer in self.peers for f in peer.subscribers.values()}
        assert living.keys() <= found.keys() <= living.keys() | self.gone
        for who, subscriber in living.items():
            subscriber.agree(found[who], self.book.last(subscriber.stream))
            self.verify(subscriber)

    def verify(self, subscriber: Subscriber) -> None:
        subscriber.verify(self.book, kept_from(self.server, subscriber.stream))

    def teardown(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(end, self.server)
            for peer in self.peers:
                stack.callback(peer.close)
            self.last_words()

    def last_words(self) -> None:
        """Everybody is allowed everything and gets it, or hears what is lost; then the end."""
        if self.published:
            self.rest()
        for subscriber in self.left:
            self.verify(subscriber)
        for peer in self.peers:
            for number in peer.subscribers:
                peer.grant(number, MOST, MOST)
        found = at_rest(self.server, self.peers)
        end(self.server)
        for peer in self.peers:
            for subscriber in peer.subscribers.values():
                last = self.book.last(subscriber.stream)
                subscriber.agree(found[subscriber.who], last)
                peer.read_until(functools.partial(getattr, subscriber, "ended"), "the end")
                assert subscriber.last == last
                assert subscriber.first > last or subscriber.next == last + 1
                self.verify(subscriber)


@pytest.mark.timeout(within(120))
def test_any_program_of_publishers_and_subscribers() -> None:
    run_state_machine_as_test(
        Program,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            derandomize="LAPLACE_STREAM_EXAMPLES" not in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )


# ---- at once


@pytest.fixture
def tiny_switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


CROWD = 11  # subscribers at least


class Crowd:
    """Publishers and subscribers in threads of their own, around one server."""

    def __init__(self, server: ServerLHC, seed: int) -> None:
        self.server = server
        self.seed = seed
        self.book = Book(server)
        self.done = threading.Event()
        self.failures: list[BaseException] = []
        self.subscribers: list[Subscriber] = []  # all there ever were
        self.peers: list[WirePeer] = []

    def publish(self, number: int) -> None:
        chance = random.Random(f"{self.seed} publisher {number}")
        for n in range(1500):
            pad = chance.choice((0, 0, 0, 20, 200, 3000))
            array = np.full(chance.randrange(1, 2000), n, "<u2") if chance.random() < 0.1 else None
            self.book.publish(
                chance.choice(STREAMS), {"p": number, "n": n, "pad": "p" * pad}, array
            )

    def redeclare(self, number: int) -> None:
        chance = random.Random(f"{self.seed} history {number}")
        while not self.done.wait(0.002):
            self.server.declare_stream(
                chance.choice(STREAMS),
                history_bytes=chance.choice((0, 3000, 30_000, 1 << 20)),
                history_count=chance.choice((None, None, 1, 3, 200)),
            )

    def follow(self, number: int) -> None:
        """Come, take, allow, leave, and break off, until the publishers are done."""
        chance = random.Random(f"{self.seed} subscriber {number}")
        me = WirePeer(self.server)
        try:
            # On a busy machine publishers may be done before there is a crowd.
            while not self.done.is_set() or len(self.subscribers) < CROWD:
                act = chance.random()
                slot = chance.randrange(3)
                if slot not in me.subscribers or act < 0.02:
                    self.subscribers.append(
                        me.subscribe(
                            chance.choice(STREAMS),
                            number=slot,
                            start=chance.choice(("latest", "newest", "oldest")),
                            latest_only=chance.random() < 0.3,
                            messages=chance.choice((0, 1, 16, PLENTY)),
                            size=chance.choice((1, 5000, PLENTY)),
                        )
                    )
                elif act < 0.03:
                    me.leave(slot)
                elif act < 0.035:
                    me.close()
                    me = WirePeer(self.server)
                elif act < 0.5:
                    subscriber = me.subscribers[slot]
                    more = chance.choice((0, 1, 4, 16)), chance.choice((1, 1000, 50_000))
                    me.grant(slot, subscriber.messages + more[0], subscriber.size + more[1])
                elif me.peer.socket.poll(1):
                    me.read()
        finally:
            self.peers.append(me)

    def guard(self, work: Any, number: int) -> None:
        try:
            work(number)
        except BaseException as problem:
            self.failures.append(problem)

    def run(self) -> None:
        def threads_of(work: Any, count: int) -> list[threading.Thread]:
            return [threading.Thread(target=self.guard, args=(work, n)) for n in range(count)]

        publishers = threads_of(self.publish, 3)
        others = threads_of(self.follow, 4) + threads_of(self.redeclare, 1)
        for thread in [*others, *publishers]:
            thread.start()
        for thread in publishers:
            thread.join(PATIENCE_S)
        self.done.set()
        for thread in others:
            thread.join(PATIENCE_S)
        if self.failures:
            raise self.failures[0]

    def settle(self) -> None:
        found = at_rest(self.server, self.peers)
        for peer in self.peers:
            for number, subscriber in peer.subscribers.items():
                subscriber.agree(found[subscriber.who], self.book.last(subscriber.stream))
                peer.grant(number, MOST, MOST)
        at_rest(self.server, self.peers)
        for peer in self.peers:
            for subscriber in peer.subscribers.values():
                assert subscriber.next == self.book.last(subscriber.stream) + 1
        for subscriber in self.subscribers:
            subscriber.verify(self.book, kept_from(self.server, subscriber.stream))


@pytest.mark.parametrize("seed", range(3))
def test_publishers_and_subscribers_at_once(
    make_server: Any, tiny_switch_interval: None, seed: int
) -> None:
    server: ServerLHC = make_server()
    for stream in STREAMS:
        server.declare_stream(stream, history_bytes=20_000)
    crowd = Crowd(server, seed)
    try:
        crowd.run()
        crowd.settle()
    finally:
        for peer in crowd.peers:
            peer.close()
    assert len(crowd.subscribers) >= CROWD
    # Whoever broke off is forgotten, and nobody stays.
    wait_until(lambda: server.stats().subscribers == (), "all are forgotten")
