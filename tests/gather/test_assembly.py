"""What becomes a record, what is missing in it and why: the rules, one by one."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from laplace_server.client.ledger import EndedEpoch
from laplace_server.client.updates import Update
from laplace_server.gather.assembly import Assembly
from laplace_server.gather.record import Record
from laplace_server.gather.source import MOST_LOSSES

pytestmark = pytest.mark.transports()

WAIT_S = 1.0


class Scene:
    """An assembly of some sources, and its time."""

    def __init__(self, *names: str, most_bytes: int = 1 << 30) -> None:
        self.assembly = Assembly(dict.fromkeys(names, "shot"), WAIT_S, most_bytes)
        self.now = 100.0
        self.seqs = dict.fromkeys(names, 0)
        self.epochs = dict.fromkeys(names, 7)

    def come(self, name: str, *keys: Any, lost: int = 0, more: bool = False, **data: Any) -> None:
        """Updates of a source come; ``lost`` are missing before the first."""
        for key in keys:
            self.seqs[name] += 1 + lost
            whole = {"shot": key, **data}
            update = Update(self.seqs[name], self.epochs[name], self.now, whole, lost)
            self.assembly.take(name, update, self.ended(name), more, self.now)
            lost = 0

    def ended(self, name: str) -> list[EndedEpoch]:
        return self.__dict__.setdefault(f"ended {name}", [])  # type: ignore[no-any-return]

    def restart(self, name: str, *, lost: int = 0, complete: bool = True) -> None:
        """Its server is another one; ``lost``: updates at the end of its life that never came."""
        seq, epoch = self.seqs[name], self.epochs[name]
        self.ended(name).append(EndedEpoch(epoch, 1, seq, lost, seq + lost, complete))
        self.seqs[name], self.epochs[name] = 0, epoch + 1

    def records(self, after: float = 0.0) -> list[Record]:
        self.now += after
        found = []
        while (popped := self.assembly.pop(self.now)) is not None:
            found.append(popped[0])
        assert self.assembly.due() > self.now
        return found

    def told(self, after: float = 0.0) -> list[tuple[int, str, dict[str, str]]]:
        """Key, initials of who came, and what is missing."""
        return [(r.key, "".join(r.updates), dict(r.missing)) for r in self.records(after)]


def test_a_record_is_there_when_all_have_come() -> None:
    scene = Scene("a", "b")
    scene.come("b", 5)
    assert scene.records() == []
    scene.come("a", 5)
    (record,) = scene.records()
    assert (record.key, list(record.updates), record.missing) == (5, ["a", "b"], {})
    assert record.complete
    assert record.updates["a"].data == {"shot": 5}
    assert scene.assembly.size == 0


def test_they_are_in_order_of_the_key() -> None:
    scene = Scene("a", "b")
    scene.come("a", 1, 2, 3)
    scene.come("b", 1)
    assert scene.told() == [(1, "ab", {})]
    scene.come("b", 2, 3)
    assert scene.told() == [(2, "ab", {}), (3, "ab", {})]


def test_who_has_come_further_had_none() -> None:
    scene = Scene("a", "b")
    scene.come("a", 1, 2, 3)
    scene.come("b", 1, 3)
    assert scene.told() == [(1, "ab", {}), (2, "a", {"b": "none"}), (3, "ab", {})]


def test_who_has_come_further_may_have_lost_it() -> None:
    scene = Scene("a", "b")
    scene.come("b", 1)
    scene.come("b", 4, lost=1)
    scene.come("b", 6)
    scene.come("a", 1, 2, 3, 4, 5, 6)
    lost, none = {"b": "lost"}, {"b": "none"}
    assert scene.told() == [
        *((1, "ab", {}), (2, "a", lost), (3, "a", lost), (4, "ab", {})),
        *((5, "a", none), (6, "ab", {})),
    ]


def test_a_loss_before_the_first_update_counts() -> None:
    scene = Scene("a", "b")
    scene.come("b", 4, lost=2)
    scene.come("a", 3, 4)
    assert scene.told() == [(3, "a", {"b": "lost"}), (4, "ab", {})]


@pytest.mark.parametrize("odd", [{}, {"shot": "x"}, "repeated"], ids=str)
def test_a_loss_before_what_finds_no_record_counts(odd: Any) -> None:
    scene = Scene("a", "b")
    scene.come("b", 1)
    if odd == "repeated":
        scene.come("b", 1, lost=1)
    else:
        scene.come("b", odd.get("shot"), lost=1)
    scene.come("b", 3)
    scene.come("a", 1, 2, 3)
    assert scene.told() == [(1, "ab", {}), (2, "a", {"b": "lost"}), (3, "ab", {})]


@pytest.mark.parametrize(
    ("lost", "complete", "reason"),
    [(0, True, "none"), (3, True, "lost"), (0, False, "lost"), (3, False, "lost")],
)
def test_what_the_end_of_a_server_has_lost(lost: int, complete: bool, reason: str) -> None:
    scene = Scene("a", "b")
    scene.come("b", 1)
    scene.restart("b", lost=lost, complete=complete)
    scene.come("b", 3)
    scene.come("a", 1, 2, 3)
    assert scene.told() == [(1, "ab", {}), (2, "a", {"b": reason}), (3, "ab", {})]


def test_an_end_that_nobody_tells_of_may_have_lost_it() -> None:
    scene = Scene("a", "b")
    scene.come("b", 1)
    scene.restart("b")
    scene.ended("b").clear()  # such as the first of more than a hundred
    scene.come("b", 3)
    scene.come("a", 1, 2, 3)
    assert scene.told()[1] == (2, "a", {"b": "lost"})


def test_losses_in_many_places_become_larger_ones() -> None:
    scene = Scene("a", "b")
    count = MOST_LOSSES + 500
    for n in range(count):
        scene.come("b", 3 * n + 2, lost=1)
    scene.come("a", *range(1, 3 * count))
    reasons = {record.key: record.missing.get("b") for record in scene.records()}
    assert all(reasons[3 * n + 1] == "lost" for n in range(count))
    assert reasons[3 * count - 3] == "lost"
    few = sum(reason == "none" for reason in reasons.values())
    assert few == 0  # after each update there is a loss
    assert len(scene.assembly.sources["b"]._losses) <= 1


# ---- time


def test_when_the_time_is_over() -> None:
    scene = Scene("a", "b", "c")
    scene.come("a", 1)
    scene.come("b", 1)
    assert scene.assembly.due() == scene.now + WAIT_S
    assert scene.told(after=0.9 * WAIT_S) == []
    assert scene.told(after=0.2 * WAIT_S) == [(1, "ab", {"c": "not yet"})]
    assert scene.assembly.due() == float("inf")


def test_its_time_begins_with_its_first_update() -> None:
    scene = Scene("a", "b", "c")
    scene.come("a", 1)
    scene.now += 0.6 * WAIT_S
    scene.come("b", 1)
    assert scene.told(after=0.5 * WAIT_S) == [(1, "ab", {"c": "not yet"})]


def test_who_is_over_waits_for_who_is_before() -> None:
    scene = Scene("a", "b")
    scene.come("a", 1)
    scene.now += 0.5 * WAIT_S
    scene.come("b", 2)  # has passed 1
    assert scene.told() == [(1, "a", {"b": "none"})]
    scene.come("a", 3)
    assert scene.told() == [(2, "b", {"a": "none"})]


def test_what_has_been_published_is_waited_for() -> None:
    """A source that lags since the program does not take quickly enough is not late."""
    scene = Scene("a", "b")
    scene.come("a", *range(1, 30))
    for n in range(1, 20):
        scene.now += 0.9 * WAIT_S
        scene.come("b", n, more=True)
        assert scene.told() == [(n, "ab", {})]
    assert scene.told(after=0.9 * WAIT_S) == []
    assert scene.told(after=0.2 * WAIT_S)[0] == (20, "a", {"b": "not yet"})


def test_what_comes_after_that_is_late(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene("a", "b")
    scene.come("a", 1, 2, 3)
    assert len(scene.told(after=1.1 * WAIT_S)) == 3
    with caplog.at_level(logging.WARNING):
        scene.come("b", 1, 2)
        scene.come("a", 4)
        assert scene.assembly.sources["b"].undecided == 2
        scene.come("b", 4)
        assert scene.told(after=1.1 * WAIT_S) == [(4, "ab", {})]
    source = scene.assembly.sources["b"]
    assert (source.late, source.undecided, source.gathered, sum(source.counts)) == (2, 0, 1, 3)
    assert scene.assembly.size == 0
    assert [each.getMessage() for each in caplog.records] == [
        "gather: b: key 1 came too late for its record."
    ]


# ---- who is gone


def test_who_is_gone_is_waited_for_as_others_are() -> None:
    """It may come back before the time is over."""
    scene = Scene("a", "b")
    scene.assembly.tell("b", True, scene.now)
    scene.come("a", 1, 2)
    assert scene.told(after=0.5 * WAIT_S) == []
    scene.assembly.tell("b", False, scene.now)
    scene.come("b", 1)
    assert scene.told() == [(1, "ab", {})]
    scene.assembly.tell("b", True, scene.now)
    assert scene.told(after=0.6 * WAIT_S) == [(2, "a", {"b": "gone"})]


def test_who_has_been_gone_for_that_time_is_waited_for_no_more() -> None:
    scene = Scene("a", "b")
    scene.assembly.tell("b", True, scene.now)
    scene.now += 0.6 * WAIT_S
    scene.assembly.tell("b", True, scene.now)  # still
    scene.come("a", 1)
    assert scene.told(after=0.5 * WAIT_S) == [(1, "a", {"b": "gone"})]
    scene.come("a", 2)
    assert scene.told() == [(2, "a", {"b": "gone"})]
    scene.assembly.tell("b", False, scene.now)
    scene.come("a", 3)
    assert scene.told() == []
    scene.come("b", 3)
    assert scene.told() == [(3, "ab", {})]


# ---- keys that are none, and the same key again


@pytest.mark.parametrize(
    "odd",
    [
        *(None, "1", True, [1], {"n": 1}, np.array(1), np.ones(3)),
        *(1.5, float("nan"), float("inf"), 2.0**53, -1e300),  # the last two: not exact
    ],
    ids=repr,
)
def test_what_is_no_key(odd: Any, caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene("a")
    with caplog.at_level(logging.WARNING):
        scene.come("a", 1, odd, odd, 2)
    assert [record.key for record in scene.records()] == [1, 2]
    source = scene.assembly.sources["a"]
    assert (source.without_key, source.gathered, sum(source.counts)) == (2, 2, 4)
    assert [each.getMessage() for each in caplog.records] == [
        "gather: a: update 2 has no whole number as its key."
    ]


def test_an_update_without_the_key() -> None:
    scene = Scene("a")
    scene.assembly.take("a", Update(1, 7, 0.0, {"other": 1}, 0), (), False, scene.now)
    assert scene.records() == []
    assert scene.assembly.sources["a"].without_key == 1


def test_whole_numbers_of_any_kind_and_size() -> None:
    scene = Scene("a", "b")
    exact = [1 - 2**53, -1, 0, 1, 2**53 - 1]
    keys = [-(2**70), *exact, 2**60, 2**80]
    scene.come("a", *keys)
    scene.come("b", -(2**70), *map(float, exact), 2**60, 2**80)
    assert [(record.key, record.complete) for record in scene.records()] == [
        (key, True) for key in keys
    ]


def test_of_the_same_key_the_first_counts() -> None:
    scene = Scene("a", "b")
    scene.come("a", 1, n="first")
    scene.come("a", 1, n="second")
    scene.come("b", 1)
    (record,) = scene.records()
    assert record.updates["a"].data["n"] == "first"
    scene.come("a", 1)  # also when the record has been given out
    source = scene.assembly.sources["a"]
    assert (source.repeated, source.gathered, source.undecided) == (2, 1, 0)


def test_a_key_out_of_order_finds_its_record_while_that_is_open() -> None:
    scene = Scene("a", "b")
    scene.come("a", 1, 3, 2, 4)
    scene.come("b", 1, 2, 3, 4)
    assert [(record.key, record.complete) for record in scene.records()] == [
        (key, True) for key in (1, 2, 3, 4)
    ]


# ---- keys that begin anew


def test_a_new_run_begins_where_all_go_back() -> None:
    scene = Scene("a", "b")
    for name in "ab":
        scene.come(name, 998, 999)
    assert [record.run for record in scene.records()] == [0, 0]
    scene.come("a", 1000)
    scene.come("a", 1, 2)
    assert scene.told() == []  # b may have its 1000 yet
    scene.come("b", 1000)
    assert scene.told() == [(1000, "ab", {})]
    scene.come("b", 1)
    assert [(r.key, r.run, r.complete) for r in scene.records()] == [(1, 1, True)]
    scene.come("b", 2)
    assert [(r.key, r.run, r.complete) for r in scene.records()] == [(2, 1, True)]
    assert all(source.late == 0 for source in scene.assembly.sources.values())


def test_what_is_open_then_is_over() -> None:
    scene = Scene("a", "b", "c")
    for name in "abc":
        scene.come(name, 10)
    assert scene.told() == [(10, "abc", {})]
    scene.come("a", 11, 1)
    scene.come("b", 1, lost=4)
    scene.come("c", 1)
    assert scene.told() == [(11, "a", {"b": "lost", "c": "none"}), (1, "abc", {})]


@pytest.mark.parametrize("gone", [True, False])
def test_a_new_run_begins_without_who_says_nothing(gone: bool) -> None:
    scene = Scene("a", "b")
    for name in "ab":
        scene.come(name, 10)
    assert len(scene.records()) == 1
    scene.assembly.tell("b", gone, scene.now)
    scene.come("a", 1)
    missing = {"b": "gone" if gone else "not yet"}
    if not gone:
        assert scene.told() == []
    assert scene.told(after=1.1 * WAIT_S) == [(1, "a", missing)]
    scene.assembly.tell("b", False, scene.now)
    scene.come("a", 2)
    scene.come("b", 2)
    assert [(r.key, r.run, r.complete) for r in scene.records()] == [(2, 1, True)]


def test_one_that_goes_back_alone_is_late_and_the_others_go_on() -> None:
    scene = Scene("a", "b", "c")
    for name in "abc":
        scene.come(name, 10)
    assert len(scene.records()) == 1
    for n in range(11, 20):
        scene.come("c", n - 10)
        scene.come("a", n)
        scene.come("b", n)
        scene.now += 0.5 * WAIT_S
    records = scene.records(after=2 * WAIT_S)
    assert [record.key for record in records] == list(range(11, 20))
    assert {record.run for record in records} == {0}
    assert scene.assembly.sources["c"].late == 9


def test_one_that_went_back_alone_goes_on_when_the_others_have_ended() -> None:
    scene = Scene("a", "b")
    for name in "ab":
        scene.come(name, 10)
    assert len(scene.records()) == 1
    scene.come("a", 1)
    scene.come("b", 11)  # its last
    assert scene.told(after=1.1 * WAIT_S) == [(11, "b", {"a": "not yet"})]
    scene.come("a", 2)
    scene.assembly.tell("b", True, scene.now)
    scene.come("a", 3)
    assert [(r.key, r.run) for r in scene.records(after=1.1 * WAIT_S)] == [(2, 1), (3, 1)]


def test_it_recovers_from_a_wild_key() -> None:
    scene = Scene("a", "b")
    scene.come("a", 1, 2**32 - 1)
    scene.come("b", 1)
    assert [record.key for record in scene.records(after=1.1 * WAIT_S)] == [1, 2**32 - 1]
    for n in range(2, 6):
        scene.come("a", n)
        scene.come("b", n)
    assert [(r.key, r.complete, r.run) for r in scene.records()] == [
        (n, True, 1) for n in range(2, 6)
    ]


def test_a_slow_source_alone_begins_no_run() -> None:
    scene = Scene("a", "b")
    for n in range(1, 4):
        scene.come("a", n)
        assert scene.told(after=1.1 * WAIT_S) == [(n, "a", {"b": "not yet"})]
        scene.come("b", n)
        assert scene.told(after=5 * WAIT_S) == []
    assert scene.assembly.sources["b"].late == 3


# ---- memory


def test_sources_are_held_up_beyond_what_may_be_held() -> None:
    scene = Scene("a", "b", most_bytes=10_000)
    n = 0
    while scene.assembly.wants("a"):
        n += 1
        scene.come("a", n, image=np.zeros(1000, "u1"))
    assert n == 6
    assert scene.assembly.size < 10_000 + 2000
    assert scene.assembly.wants("b")  # the oldest waits for it
    assert not scene.assembly.wants("b", given=1)  # but not while there is something to take
    scene.assembly.hold("a")
    scene.come("b", 1, 2)
    assert scene.told() == [(1, "ab", {}), (2, "ab", {})]
    assert scene.assembly.wants("a")
    scene.assembly.resume("a", scene.now)


def test_no_time_is_over_for_who_is_held_up() -> None:
    scene = Scene("a", "b")
    scene.come("a", 1)
    scene.assembly.hold("b")
    assert scene.told(after=100 * WAIT_S) == []
    scene.assembly.resume("b", scene.now)
    assert scene.told(after=0.9 * WAIT_S) == []
    assert scene.told(after=0.2 * WAIT_S) == [(1, "a", {"b": "not yet"})]
