"""A subscription against a model of a server and a network, in any order, interrupted anywhere.

The model knows which updates there were and which the server has forgotten. Of each life of the
server the subscription must give every other, once and in order, and account for the rest.
"""

from __future__ import annotations

import json
import os
import random
from collections import deque
from typing import Any

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
from support.interrupts import interrupted
from support.stream_messages import ALIVE, CREDIT, END, UNKNOWN, answer, control_of, updates, word

from laplace_server.client.starts import WORDS, Start
from laplace_server.client.subscription_protocol import ANSWER_S, DOUBT_S, SubscriptionProtocol
from laplace_server.client.subscription_reader import AGAIN_S, SILENCE_S
from laplace_server.client.subscription_steps import Connect, Send, State

pytestmark = pytest.mark.transports()

BEGIN = 1000.0


class Grant:
    """What a server knows of a subscription, and the connection that it came by."""

    def __init__(self, number: int, following: int, messages: int) -> None:
        self.number = number
        self.following = following
        self.allowed = messages
        self.sent = 0


class Life:
    """A life of the server: numbers from 1 to ``published``, those below ``kept`` forgotten."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.declared_at = -1.0
        self.published = 0
        self.kept = 1
        self.told = 0  # the last number that the subscription has heard of


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = BEGIN
        self.start: Start = "latest"
        self.protocol: SubscriptionProtocol
        self.life: Life | None = Life(7)
        self.lives = {7: self.life}
        self.offered: set[tuple[int, int]] = set()  # epoch and number that answers began with
        self.connected = False  # one that is there and not broken
        self.grant: Grant | None = None
        self.wire: deque[list[bytes]] = deque()  # what the server has sent
        self.numbers = 0
        self.chance = random.Random(0)
        self.got: dict[int, list[tuple[int, int]]] = {}

    @initialize(
        seed=st.integers(0, 1 << 20),
        start=st.sampled_from([*WORDS, 1, "this life", "another life"]),
        published=st.integers(0, 40),
        forgotten=st.integers(0, 40),
    )
    def begin(self, seed: int, start: str | int, published: int, forgotten: int) -> None:
        """The stream was there before, perhaps, and so was the subscriber."""
        self.chance = random.Random(seed)
        life = self.lives[7]
        if published:
            life.declared_at = BEGIN - 1
            life.published, life.kept = published, 1 + min(forgotten, published)
        if start == "this life":
            self.start = 7, self.chance.randint(0, published)
        elif start == "another life":
            self.start = 6, self.chance.randint(0, 40)
            former = self.lives[6] = Life(6)
            former.published = self.start[1]
        else:
            self.start = start
        self.protocol = SubscriptionProtocol(
            "tcp://10.0.0.1:1",
            "me",
            "s",
            start=self.start,
            latest_only=False,
            credit_bytes=1 << 20,
            now=self.now,
        )

    # ---- the server

    @precondition(lambda self: self.life is not None)
    @rule(count=st.integers(1, 30))
    def publish(self, count: int) -> None:
        assert self.life is not None
        if self.life.declared_at < 0:
            self.life.declared_at = self.now
        self.life.published += count

    @precondition(lambda self: self.life is not None)
    @rule(count=st.integers(1, 20))
    def forget(self, count: int) -> None:
        assert self.life is not None
        self.life.kept = min(self.life.kept + count, self.life.published + 1)

    @rule(count=st.integers(1, 20))
    def send(self, count: int) -> None:
        life, grant = self.life, self.grant
        if life is None or grant is None:
            return
        first = max(grant.following, life.kept)
        last = min(life.published, first + count - 1)
        if grant.sent < grant.allowed and last >= first:
            grant.sent += 1
            grant.following = last + 1
            fields = {"epoch": life.epoch, "subscription": grant.number}
            self.wire.append(updates(first, last, announced=life.published, **fields))

    @precondition(lambda self: self.grant is not None)
    @rule(kind=st.sampled_from([ALIVE, UNKNOWN]))
    def say(self, kind: int) -> None:
        assert self.life is not None
        assert self.grant is not None
        fields = {"epoch": self.life.epoch, "subscription": self.grant.number}
        self.wire.append(word(kind, last=self.life.published, **fields))
        if kind == UNKNOWN:
            self.grant = None

    @precondition(lambda self: self.life is not None)
    @rule(politely=st.booleans())
    def stop(self, politely: bool) -> None:
        """It ends with all that it has to say, or is killed."""
        assert self.life is not None
        if politely and self.grant is not None:
            while (
                max(self.grant.following, self.life.kept) <= self.life.published
                and self.grant.sent < self.grant.allowed
            ):
                self.send(1000)
            fields = {"epoch": self.life.epoch, "subscription": self.grant.number}
            self.wire.append(word(END, last=self.life.published, **fields))
        self.life = None
        self.cut()

    @precondition(lambda self: self.life is None)
    @rule()
    def restart(self) -> None:
        self.life = Life(max(self.lives) + 1)
        self.lives[self.life.epoch] = self.life

    # ---- the network

    @precondition(lambda self: self.connected)
    @rule()
    def cut(self) -> None:
        """What the server has sent before arrives."""
        if self.connected:
            self.protocol.broken()
        self.connected = False
        self.grant = None

    @precondition(lambda self: self.connected)
    @rule()
    def hold(self) -> None:
        """The server is heard no more, and what it has sent is gone with it."""
        self.grant = None
        self.wire.clear()

    @rule(seconds=st.sampled_from([0.0, 0.05, DOUBT_S, AGAIN_S, SILENCE_S, ANSWER_S, 60.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        if not self.wire:
            self.protocol.nothing(self.now)

    # ---- the subscription

    @rule()
    def act(self) -> None:
        """Do what it wants to have done."""
        step = self.protocol.todo(self.now)
        if isinstance(step, Connect):
            self.wire.clear()  # of the connection before
            self.connected, self.grant = False, None
            self.protocol.asked(step, self.now)
            if self.life is None:
                self.protocol.refused()
                return
            self.connected = True
            self.protocol.made(self.now)
            self.protocol.ready()
            self.answer(json.loads(step.body)["payload"])
        elif isinstance(step, Send):
            if self.grant is not None and self.connected:
                credit = control_of(step.body)
                assert (credit["kind"], credit["subscription"]) == (CREDIT, self.grant.number)
                self.grant.allowed = credit["messages"]
            self.protocol.sent(step)

    def answer(self, asked: dict[str, Any]) -> None:
        life = self.life
        assert life is not None
        if life.declared_at < 0:
            self.wire.append(answer(error="No such stream: 's'. There are: none."))
            return
        start = asked["start"]
        if asked.get("epoch", life.epoch) != life.epoch:
            start = "oldest"
        words = {
            "latest": life.published + 1,
            "newest": max(life.kept, life.published),
            "oldest": life.kept,
        }
        following = words.get(start, start)
        self.offered.add((life.epoch, following))
        self.grant = Grant(asked["subscription"], following, asked["messages"])
        fields = {"epoch": life.epoch, "first": life.kept, "last": life.published}
        age_s = self.now - life.declared_at
        self.wire.append(answer(next=following, age_s=age_s, **fields))

    @rule(count=st.integers(1, 6), twice=st.booleans())
    def flow(self, count: int, twice: bool) -> None:
        """All do their work for a while; interrupts come at any line, and put messages twice."""
        for _ in range(count):
            self.act()
            self.send(10)
            if self.wire:
                self.receive(self.chance.randrange(60), twice)

    def receive(self, line: int, twice: bool) -> None:
        self.numbers += 1
        message = self.numbers, self.wire.popleft()
        self.protocol.incoming.extend([message] * (1 + twice))
        if line:
            interrupted(lambda: self.protocol.read(self.now), line)
        self.take(self.protocol.read(self.now))

    def take(self, found: bool) -> None:
        while found:
            for update in self.protocol.batch:
                self.got.setdefault(update.epoch, []).append((update.seq, update.lost_before))
            found = self.protocol.read(self.now)

    # ---- what must hold

    def teardown(self) -> None:
        """A server that is well, and a network: then all is received or accounted for."""
        if self.life is None:
            self.restart()
        assert self.life is not None
        self.publish(1)
        for _ in range(400):
            self.act()
            self.send(1000)
            while self.wire:
                self.receive(self.chance.randrange(60), False)
            self.wait(0.0 if self.protocol.until <= self.now else self.protocol.until - self.now)
            ledger = self.protocol.ledger
            if ledger.life.epoch == self.life.epoch and ledger.position > self.life.published:
                break
        assert self.protocol.state is State.FOLLOWING
        self.check()

    def check(self) -> None:
        ledger, life = self.protocol.ledger, self.life
        assert life is not None
        assert (ledger.life.epoch, ledger.position) == (life.epoch, life.published + 1)
        ended = ledger.life.ended
        firsts = {each.epoch: each.first for each in ended} | {life.epoch: ledger.life.first}
        begin = next(iter(firsts))
        if isinstance(self.start, tuple):
            # It goes on in that life, or that counts as one that was followed and is over.
            assert (begin, firsts[begin]) == (self.start[0], self.start[1] + 1)
        elif self.start in ("latest", "newest") and self.lives[begin].declared_at > BEGIN:
            # From the first update on: the stream is younger than the subscription.
            assert firsts[begin] == 1
        else:
            assert (begin, firsts[begin]) in self.offered
        for epoch, got in self.got.items():
            position = firsts[epoch]
            for number, lost_before in got:
                assert number - position == lost_before >= 0
                position = number + 1
        for each in ended:
            assert each.received == len(self.got.get(each.epoch, []))
            assert each.received + each.lost == each.last - each.first + 1
            assert each.last <= self.lives[each.epoch].published
            assert not each.complete or each.last == self.lives[each.epoch].published
        lost = sum(before for _, before in self.got.get(life.epoch, []))
        assert ledger.lost == lost
        # Of a life that it was there for, nothing is lost that the server had not forgotten.
        missing = set(range(ledger.life.first, life.published + 1))
        missing -= {number for number, _ in self.got.get(life.epoch, [])}
        assert all(number < life.kept for number in missing)


def test_any_order_of_events() -> None:
    run_state_machine_as_test(
        World,
        settings=settings(
            max_examples=300,
            stateful_step_count=60,
            deadline=None,
            derandomize="LAPLACE_STREAM_EXAMPLES" not in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )
