"""Sources that lag, lose, restart, repeat, go back and are gone, in any order, against the truth.

The model knows what each source has published and what of it is lost. Each update must be in one
record at most, the one of its key, and be accounted for; each record says what is missing, and why.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from laplace_server.client.ledger import EndedEpoch
from laplace_server.client.updates import Update
from laplace_server.gather.assembly import Assembly
from laplace_server.gather.record import Record

pytestmark = pytest.mark.transports()

WAIT_S = 1.0
MOST_BYTES = 5000  # about ten updates
NAMES = ("a", "b", "c")
LIMITS = settings(
    deadline=None,
    derandomize="LAPLACE_STREAM_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)


class Came(NamedTuple):
    """An update that was taken, and when."""

    at: float
    update: Update


class Stream:
    """A source as it is, at its server and on the way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.epoch = 1
        self.seq = 0
        self.on_its_way: deque[Update] = deque()
        self.missed = 0  # lost behind the update that came last
        self.came_upto = 0  # in this epoch, the lost ones included
        self.lost_here = 0
        self.ended: list[EndedEpoch] = []
        self.lost: set[int] = set()  # keys
        self.has_lost = False  # or may have
        self.gone_since: float | None = None
        self.held = False
        self.came: dict[int, Came] = {}  # by the serial number in the data

    def publish(self, data: dict[str, Any]) -> None:
        self.seq += 1
        self.on_its_way.append(Update(self.seq, self.epoch, 0.0, data, 0))

    def lose(self) -> None:
        update = self.on_its_way.popleft()
        self.has_lost = True
        self.missed += 1
        self.came_upto += 1
        self.lost_here += 1
        if type(update.data["shot"]) is int:
            self.lost.add(update.data["shot"])

    def restart(self, complete: bool) -> None:
        """Its server ends; ``complete``: it says how far it came."""
        last = self.seq if complete else self.came_upto
        lost = self.lost_here + last - self.came_upto
        self.ended.append(EndedEpoch(self.epoch, 1, last - lost, lost, last, complete))
        while self.on_its_way:
            self.lose()
        self.has_lost |= not complete
        self.epoch, self.seq = self.epoch + 1, 0
        self.missed = self.came_upto = self.lost_here = 0

    def arrive(self) -> Update:
        update = self.on_its_way.popleft()._replace(lost_before=self.missed)
        self.missed = 0
        self.came_upto += 1
        return update


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 50.0
        self.streams = {name: Stream(name) for name in NAMES}
        self.assembly = Assembly(dict.fromkeys(NAMES, "shot"), WAIT_S, MOST_BYTES)
        self.shot = 0
        self.serial = 0
        self.resets = 0
        self.last: tuple[int, int] | None = None  # run and key of the last record
        self.given: set[int] = set()  # serial numbers
        self.held: set[str] = set()  # whose next update is there already, and finds no room

    @initialize(shot=st.integers(-5, 5))
    def begin(self, shot: int) -> None:
        self.shot = shot

    # ---- the sources

    def publish(self, name: str, key: Any) -> None:
        self.serial += 1
        self.streams[name].publish({"shot": key, "serial": self.serial})

    @rule(step=st.integers(1, 3), names=st.sets(st.sampled_from(NAMES), min_size=1))
    def shoot(self, step: int, names: set[str]) -> None:
        self.shot += step
        for name in sorted(names):
            self.publish(name, self.shot)

    @rule(count=st.integers(1, 10))
    def shoot_often(self, count: int) -> None:
        for _ in range(count):
            self.shoot(1, set(NAMES))

    @rule(name=st.sampled_from(NAMES))
    def repeat(self, name: str) -> None:
        self.publish(name, self.shot)

    @rule(name=st.sampled_from(NAMES), odd=st.sampled_from([None, "1", True, 1.5, [1]]))
    def publish_no_key(self, name: str, odd: Any) -> None:
        self.publish(name, odd)

    @rule(everybody=st.booleans(), name=st.sampled_from(NAMES))
    def begin_anew(self, everybody: bool, name: str) -> None:
        """The counter does, or the one of a source alone."""
        self.resets += 1
        if everybody:
            self.shot = 0
        else:
            self.publish(name, 1)

    # ---- the network, servers

    def some(self, name: str) -> bool:
        return len(self.streams[name].on_its_way) > 0

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 3))
    def lose(self, name: str, count: int) -> None:
        if name not in self.held:
            for _ in range(min(count, len(self.streams[name].on_its_way))):
                self.streams[name].lose()

    @rule(name=st.sampled_from(NAMES), complete=st.booleans())
    def restart(self, name: str, complete: bool) -> None:
        if name not in self.held:
            self.streams[name].restart(complete)

    @rule(name=st.sampled_from(NAMES), gone=st.booleans())
    def tell(self, name: str, gone: bool) -> None:
        self.assembly.tell(name, gone, self.now)
        stream = self.streams[name]
        if not gone:
            stream.gone_since = None
        elif stream.gone_since is None:
            stream.gone_since = self.now
        self.look()

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 15))
    def arrive(self, name: str, count: int) -> None:
        stream, assembly = self.streams[name], self.assembly
        for _ in range(min(count, len(stream.on_its_way))):
            if not assembly.wants(name):
                assembly.hold(name)
                self.held.add(name)
                break
            if name in self.held:
                self.held.discard(name)
                assembly.resume(name, self.now)
            update = stream.arrive()
            stream.came[update.data["serial"]] = Came(self.now, update)
            assembly.take(name, update, stream.ended, self.some(name), self.now)
            self.look()

    @precondition(lambda self: self.held)
    @rule()
    def go_on(self) -> None:
        """As a follower does that waits for room."""
        for name in sorted(self.held):
            self.arrive(name, 1)

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5 * WAIT_S, WAIT_S, 3 * WAIT_S]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.look()

    # ---- the records

    def look(self) -> None:
        while (popped := self.assembly.pop(self.now)) is not None:
            self.check(popped[0])
        assert self.assembly.due() > self.now
        self.check_accounts()

    def check(self, record: Record) -> None:
        assert sorted([*record.updates, *record.missing]) == sorted(NAMES)
        assert list(record.updates) == [name for name in NAMES if name in record.updates]
        assert record.updates
        assert self.last is None or self.last < (record.run, record.key)
        self.last = record.run, record.key
        came = []
        for name, update in record.updates.items():
            serial = update.data["serial"]
            came.append(self.streams[name].came[serial])
            assert came[-1].update is update
            assert update.data["shot"] == record.key
            assert serial not in self.given
            self.given.add(serial)
        for name, reason in record.missing.items():
            self.check_reason(record, self.streams[name], reason, min(each.at for each in came))

    def check_reason(self, record: Record, stream: Stream, reason: str, came_at: float) -> None:
        if self.resets:  # a key then means several things
            return
        late = self.now >= came_at + WAIT_S
        if reason == "none":
            assert record.key not in stream.lost
        elif reason == "gone":
            assert stream.gone_since is not None
            assert late or self.now >= stream.gone_since + WAIT_S
        elif reason == "not yet":
            assert stream.gone_since is None
            assert late
        else:
            assert reason == "lost"
            assert stream.has_lost

    def check_accounts(self) -> None:
        assembly = self.assembly
        opened = [update for each in assembly._open.values() for update in each.updates.values()]
        gathered = sum(source.gathered for source in assembly.sources.values())
        assert len(opened) + len(self.given) == gathered
        for name, source in assembly.sources.items():
            assert sum(source.counts) == len(self.streams[name].came)
        waiting = sum(source.undecided for source in assembly.sources.values())
        assert (assembly.size == 0) == (len(opened) + waiting == 0)
        assert assembly.size < MOST_BYTES + len(NAMES) * 1000
        assert sorted(assembly._keys) == sorted(assembly._open)

    def teardown(self) -> None:
        """All comes, and then the time of all is over."""
        for name in NAMES:
            self.tell(name, False)
        while any(map(self.some, NAMES)):
            before = sum(len(stream.on_its_way) for stream in self.streams.values())
            for name in NAMES:
                self.arrive(name, 1000)
            if before == sum(len(stream.on_its_way) for stream in self.streams.values()):
                self.wait(1.1 * WAIT_S)
        self.wait(1.1 * WAIT_S)
        self.wait(1.1 * WAIT_S)  # what a new run has found
        assert self.assembly.size == 0
        assert self.assembly.due() == float("inf")
        for source in self.assembly.sources.values():
            assert source.undecided == 0


def test_any_order_of_events() -> None:
    run_state_machine_as_test(
        World, settings=settings(LIMITS, max_examples=300, stateful_step_count=60)
    )


@given(
    shots=st.lists(st.sets(st.sampled_from(NAMES), min_size=1), min_size=1, max_size=60),
    lags=st.tuples(*[st.floats(0.0, 0.95 * WAIT_S)] * len(NAMES)),
    restarts=st.sets(st.tuples(st.sampled_from(NAMES), st.integers(0, 60))),
    period=st.sampled_from([0.01, 0.3, 2.0]),
)
@settings(LIMITS, max_examples=300)
def test_whoever_lags_by_less_is_in_each_record(
    shots: list[set[str]],
    lags: tuple[float, ...],
    restarts: set[tuple[str, int]],
    period: float,
) -> None:
    """Nothing is lost: so nothing is missing but what was never published."""
    streams = {name: Stream(name) for name in NAMES}
    events = []
    for n, names in enumerate(shots):
        for name, lag in zip(NAMES, lags, strict=True):
            if name in names:
                events.append((n * period + lag, n, name))
    assembly = Assembly(dict.fromkeys(NAMES, "shot"), WAIT_S, 1 << 30)
    records = []

    def look(until: float) -> None:
        """Look whenever there may be something up to a time, as a driver does."""
        while (popped := assembly.pop(min(until, max(now, assembly.due())))) is not None:
            records.append(popped[0])

    now = 0.0
    for at, n, name in sorted(events):
        look(at)
        now = at
        stream = streams[name]
        if (name, n) in restarts:
            stream.restart(complete=True)
        stream.publish({"shot": n})
        assembly.take(name, stream.arrive(), stream.ended, False, at)
        look(at)
    look(now + 3 * WAIT_S)
    assert [record.key for record in records] == list(range(len(shots)))
    for record, names in zip(records, shots, strict=True):
        assert set(record.updates) == names
        assert set(record.missing.values()) <= {"none", "not yet"}
