"""The state of a subscription, message by message, without a socket."""

from __future__ import annotations

import itertools
import json
import logging
import math
import struct
from typing import Any

import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_messages import (
    ALIVE,
    CREDIT,
    END,
    LEAVE,
    UNKNOWN,
    UPDATES,
    adds_up,
    answer,
    control_of,
    header,
    updates,
    word,
)

from laplace_server.errors import InvalidReply, RemoteError, VersionMismatch
from laplace_server.follower import (
    AGAIN_S,
    ANSWER_S,
    DOUBT_S,
    FIRST_RETRY_S,
    MAX_ENDED,
    MESSAGES,
    SILENCE_S,
    EndedEpoch,
    Follower,
    State,
)


class Scene:
    """A follower, a clock and the numbers that it gave out."""

    def __init__(self, *, granted: bool = True, **arguments: Any) -> None:
        given = {"start": "latest", "latest_only": False, "credit_bytes": 1 << 20, **arguments}
        self.follower = Follower("tcp://host:1", "me", "s", **given)
        self.now = 100.0
        if granted:
            self.ask()
            self.take(answer())
            assert self.follower.state is State.FOLLOWING

    def ask(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.follower.ask(self.now))
        return message["payload"]  # type: ignore[no-any-return]

    def take(self, frames: list[bytes]) -> None:
        self.follower.take([zmq.Frame(frame, copy=True) for frame in frames], self.now)

    def got(self, frames: list[bytes]) -> list[tuple[int, int]]:
        """Number and lost_before of what a message brings."""
        self.take(frames)
        found = list(self.follower.batch)
        assert all(update.data == {"n": update.seq} for update in found)
        assert all(update.timestamp == update.seq for update in found)
        return [(update.seq, update.lost_before) for update in found]

    def credit(self) -> dict[str, int] | None:
        body = self.follower.credit()
        return None if body is None else control_of(body)

    def due_in(self) -> float:
        return round(self.follower.due_at - self.now, 6)


# ---- asking


def test_the_first_question() -> None:
    scene = Scene(granted=False, start=5, latest_only=True, credit_bytes=1000)
    assert scene.due_in() < 0  # at once
    assert scene.ask() == {
        "stream": "s",
        "subscription": 1,
        "start": 5,
        "messages": 1,
        "bytes": 1000,
        "latest_only": True,
    }
    assert scene.due_in() == ANSWER_S
    scene.take(answer(next=5, last=9))
    assert scene.follower.state is State.FOLLOWING
    assert scene.due_in() == SILENCE_S
    assert (scene.follower.epoch, scene.follower.following, scene.follower.lag) == (7, 5, 5)


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        (answer(error="No such stream"), RemoteError),
        (answer(error="Protocol version mismatch: ..."), VersionMismatch),
        (answer([]), InvalidReply),
        (answer({"epoch": "x", "next": 1, "last": 1}), InvalidReply),
        (answer(next=-1), InvalidReply),
        (answer(last=2**64), InvalidReply),
        (answer(epoch=math.inf), InvalidReply),
        ([b"", b"no json"], InvalidReply),
        ([b"", b"5"], InvalidReply),
    ],
)
def test_a_first_question_refused_raises(frames: list[bytes], error: type[Exception]) -> None:
    scene = Scene(granted=False)
    scene.ask()
    with pytest.raises(error):
        scene.take(frames)


def test_a_later_question_refused_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.got(updates(1, 3))
    for _ in range(3):
        scene.follower.gone(scene.now)
        asked = scene.ask()
        assert (asked["start"], asked["epoch"]) == (4, 7)
        scene.take(answer(error="No such stream: 's'."))
        assert (scene.follower.state, scene.due_in()) == (State.APART, AGAIN_S)
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # once
    scene.ask()
    scene.take(answer(next=4, last=5))
    assert scene.got(updates(4, 5, subscription=5)) == [(4, 0), (5, 0)]
    assert scene.follower.ended == ()


def test_nobody_there_is_asked_less_and_less_often() -> None:
    scene = Scene()
    scene.follower.gone(scene.now)
    waits = [scene.due_in()]
    for _ in range(6):
        scene.ask()
        scene.follower.gone(scene.now)
        scene.follower.gone(scene.now)  # said twice
        waits.append(scene.due_in())
    assert waits == [0, FIRST_RETRY_S, 0.2, 0.4, 0.8, AGAIN_S, AGAIN_S]


def test_silence_is_due() -> None:
    scene = Scene()
    scene.now += 1.5
    scene.take(word(ALIVE))
    assert scene.due_in() == SILENCE_S
    scene.now += 1.5
    scene.got(updates(1, 1))
    assert scene.due_in() == SILENCE_S


def test_silence_is_believed_at_the_second_look() -> None:
    """This process may have stood still, and what came meanwhile be about to be read."""
    scene = Scene()
    follower = scene.follower
    assert not follower.is_due(scene.now)
    for _ in range(2):
        scene.now += 60
        assert not follower.is_due(scene.now)
        assert not follower.is_due(scene.now)
        scene.take(word(ALIVE))
        assert scene.due_in() == SILENCE_S
    scene.now += 60
    assert not follower.is_due(scene.now)
    scene.now += DOUBT_S
    assert follower.is_due(scene.now)
    scene.ask()
    assert not follower.is_due(scene.now)
    scene.now += ANSWER_S
    assert follower.is_due(scene.now)


def test_numbers_of_subscriptions_differ() -> None:
    scene = Scene(granted=False)
    assert [scene.ask()["subscription"] for _ in range(3)] == [1, 2, 3]
    scene.follower._subscription = 2**32 - 1
    assert scene.ask()["subscription"] == 1


def test_messages_from_elsewhere_are_left_alone() -> None:
    scene = Scene()
    scene.got(updates(1, 2))
    strangers = [
        updates(3, 4, subscription=2),
        word(UNKNOWN, subscription=2),
        word(END, subscription=2, last=50),
        word(99, last=50),
        answer(epoch=9),  # a late answer
        answer(error="busy"),
        [b""],
        [b"", b""],
        [b"", b"\0LHC\1"],
        [b"", header(UPDATES, first=3, count=1000)],  # cut short
        [b"", header(UPDATES, first=3, count=1, last=3) + b"12345678no json"],
        [b"", header(UPDATES, first=3, count=1, last=3) + b"12345678[1,2]"],
        [b"", header(UPDATES, first=3, count=1, last=3, arrays=1) + b"12345678[{},[]]"],
    ]
    for frames in strangers:
        assert scene.got(frames) == []
        assert scene.follower.state is State.FOLLOWING
    assert (scene.follower.epoch, scene.follower.following) == (7, 3)
    # What could not be read is missing, and said to be.
    assert scene.got(updates(4, 4)) == [(4, 1)]


def test_before_the_answer_no_updates_are_taken() -> None:
    scene = Scene(granted=False)
    scene.ask()
    assert scene.got(updates(1, 2)) == []
    assert scene.credit() is None
    assert scene.follower.leave() is None


def test_unknown_in_bursts_makes_one_new_question() -> None:
    scene = Scene()
    for _ in range(5):
        scene.take(word(UNKNOWN))
        assert (scene.follower.state, scene.due_in()) == (State.APART, 0)
        assert scene.credit() is None
    scene.take(answer())
    assert scene.follower.state is State.APART  # nothing counts before the next question
    assert scene.ask()["subscription"] == 2
    scene.take(word(UNKNOWN))
    assert scene.follower.state is State.ASKING


# ---- updates


def test_updates_and_gaps() -> None:
    scene = Scene()
    assert scene.got(updates(1, 3)) == [(1, 0), (2, 0), (3, 0)]
    assert scene.got(updates(6, 7, announced=9)) == [(6, 2), (7, 0)]
    assert (scene.follower.lost, scene.follower.lag) == (2, 2)
    assert scene.got(updates(1, 7)) == []  # known
    assert scene.got(updates(5, 9)) == [(8, 0), (9, 0)]  # known in part
    assert (scene.follower.lost, scene.follower.lag) == (2, 0)


def test_in_the_middle_of_a_message_all_numbers_are_right() -> None:
    scene = Scene()
    scene.take(updates(1, 5, announced=8))
    first, second = next(scene.follower.batch), next(scene.follower.batch)
    assert (first.seq, second.seq) == (1, 2)
    assert (len(scene.follower.batch), scene.follower.following, scene.follower.lag) == (3, 3, 6)
    scene.follower.drop_batch()
    assert list(scene.follower.batch) == []
    assert (len(scene.follower.batch), scene.follower.following) == (0, 3)


def test_credit_follows_what_is_taken() -> None:
    scene = Scene()
    for n in range(1, MESSAGES // 2):
        scene.got(updates(n, n))
        assert scene.credit() is None
    scene.got(updates(MESSAGES // 2, MESSAGES // 2))
    size = sum(len(updates(n, n)[1]) for n in range(1, MESSAGES // 2 + 1))
    assert scene.credit() == {
        "kind": CREDIT,
        "subscription": 1,
        "messages": MESSAGES + MESSAGES // 2,
        "bytes": (1 << 20) + size,
        "next": MESSAGES // 2 + 1,
    }
    assert scene.credit() is None


def test_credit_in_bytes() -> None:
    scene = Scene(credit_bytes=400)
    scene.got(updates(1, 1))
    credit = scene.credit()
    assert credit is None
    scene.got(updates(2, 2))
    credit = scene.credit()
    assert credit is not None
    assert credit["bytes"] == 400 + len(updates(1, 1)[1]) + len(updates(2, 2)[1])


def test_each_word_is_answered_and_so_what_came_is_confirmed() -> None:
    """A server that hears nothing for some of its words says no more."""
    scene = Scene()
    scene.got(updates(1, 1))
    assert scene.credit() is None
    scene.take(word(ALIVE, last=1))
    credit = scene.credit()
    assert credit is not None
    assert credit["next"] == 2
    assert scene.credit() is None
    scene.take(word(ALIVE, last=1))
    assert scene.credit() == credit


def test_latest_only_allows_one_at_a_time() -> None:
    scene = Scene(latest_only=True)
    assert scene.credit() is None
    assert scene.got(updates(9, 9)) == [(9, 8)]
    credit = scene.credit()
    assert credit is not None
    assert credit["messages"] == 2


def test_the_last_word() -> None:
    scene = Scene()
    scene.got(updates(1, 3))
    body = scene.follower.leave()
    assert body is not None
    assert (control_of(body)["kind"], control_of(body)["next"]) == (LEAVE, 4)


def test_arrays_are_views_that_cannot_be_written() -> None:
    scene = Scene()
    array = np.arange(10_000.0)
    described = [{"a": None}, [{"path": ["a"], "dtype": "<f8", "shape": [100, 100]}]]
    head = header(UPDATES, first=1, count=1, last=1, arrays=1) + struct.pack("<d", 1)
    scene.take([b"", head + json.dumps(described).encode(), array.tobytes()])
    (update,) = scene.follower.batch
    found = update.data["a"]
    assert np.array_equal(found, array.reshape(100, 100))
    assert not found.flags.owndata
    with pytest.raises(ValueError, match="WRITEABLE"):
        found.flags.writeable = True


def test_several_updates_with_arrays_in_a_message_are_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene()
    scene.got(updates(1, 3))
    described = [{"a": None}, [{"path": ["a"], "dtype": "<f8", "shape": [1]}]]
    head = header(UPDATES, first=2, count=5, last=6, arrays=1) + struct.pack("<5d", *range(5))
    scene.take([b"", head + json.dumps(described).encode(), bytes(8)])
    assert len(scene.follower.batch) == 0
    assert "cannot be read" in caplog.text
    assert scene.got(updates(7, 7)) == [(7, 3)]


# ---- epochs


def test_an_end_accounts_for_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "laplace.client")
    scene = Scene()
    scene.got(updates(3, 5, announced=9))
    scene.take(word(END, first=6, last=12))
    follower = scene.follower
    assert follower.server_ended
    assert follower.ended == (EndedEpoch(7, 1, 3, 9, 12, True),)
    assert (follower.lost, follower.lag) == (9, 0)
    assert scene.got(updates(6, 12)) == []  # an epoch ends once
    assert len(follower.ended) == 1
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("laplace.client", "WARNING")
    assert "ended at update 12: 3 received, 9 lost." in record.getMessage()

    follower.gone(scene.now)
    asked = scene.ask()
    assert (asked["epoch"], asked["start"]) == (7, 13)
    scene.take(answer(epoch=8, first=1, last=4, next=1))
    assert not follower.server_ended
    assert scene.got(updates(3, 4, epoch=8, subscription=2)) == [(3, 2), (4, 0)]
    assert (follower.epoch, follower.lost) == (8, 11)


def test_an_end_without_loss_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "laplace.client")
    scene = Scene()
    scene.got(updates(1, 5))
    scene.take(word(END, last=5))
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert scene.follower.lost == 0


def test_an_epoch_that_vanished_has_an_unknown_end() -> None:
    scene = Scene()
    scene.got(updates(1, 5, announced=8))
    scene.take(word(ALIVE, last=10))
    scene.follower.gone(scene.now)
    scene.ask()
    assert scene.follower.ended == ()
    scene.take(answer(epoch=8, last=0))
    assert scene.follower.ended == (EndedEpoch(7, 1, 5, 5, 10, False),)
    assert not scene.follower.server_ended
    assert scene.got(updates(1, 2, epoch=8, subscription=2)) == [(1, 0), (2, 0)]


def test_a_new_epoch_in_a_header_counts_like_one_in_an_answer() -> None:
    scene = Scene()
    scene.got(updates(1, 5))
    assert scene.got(updates(2, 3, epoch=8)) == [(2, 1), (3, 0)]
    assert scene.follower.ended == (EndedEpoch(7, 1, 5, 0, 5, False),)
    assert scene.got(updates(6, 7)) == []  # from the epoch before
    assert scene.follower.epoch == 8


def test_the_server_that_has_ended_does_not_come_back() -> None:
    scene = Scene()
    scene.take(word(END))
    scene.ask()
    scene.take(answer())
    assert (scene.follower.state, scene.due_in()) == (State.APART, AGAIN_S)
    assert len(scene.follower.ended) == 1


def test_few_ended_epochs_are_remembered() -> None:
    scene = Scene()
    for epoch in range(8, 8 + 2 * MAX_ENDED):
        scene.got(updates(1, 1, epoch=epoch))
    assert len(scene.follower.ended) == MAX_ENDED
    assert scene.follower.ended[-1].epoch == 6 + 2 * MAX_ENDED


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["publish", "send", "lose", "alive", "end", "kill", "cut", "take part"]),
        st.integers(1, 20),
    ),
    max_size=60,
)


@given(EVENTS)
@settings(max_examples=300, deadline=None)
def test_the_ledger_adds_up_whatever_happens(events: list[tuple[str, int]]) -> None:
    """A server that publishes, forgets, ends, is killed; connections that break anywhere."""
    scene = Scene()
    follower = scene.follower
    epoch, published, sent, announced = 7, 0, 0, {7: 0}
    got: dict[int, list[int]] = {7: []}
    lost: dict[int, int] = {7: 0}

    def drain(count: int | None = None) -> None:
        for update in itertools.islice(follower.batch, count):
            got[update.epoch].append(update.seq)
            lost[update.epoch] += update.lost_before

    def again() -> None:
        nonlocal sent
        drain()
        follower.gone(scene.now)
        asked = scene.ask()
        same = asked["epoch"] == epoch
        sent = asked["start"] - 1 if same else 0
        announced[epoch] = published
        scene.take(answer(epoch=epoch, first=1, last=published, next=sent + 1))

    for event, number in events:
        subscription = follower._subscription
        if event == "publish":
            published += number
        elif event == "lose":
            sent = min(published, sent + number)
        elif event == "send" and sent < published:
            drain()
            last = min(published, sent + number)
            announced[epoch] = published
            scene.take(
                updates(sent + 1, last, epoch=epoch, subscription=subscription, announced=published)
            )
            sent = last
        elif event == "take part":
            drain(number)
        elif event == "alive":
            drain()
            announced[epoch] = published
            scene.take(word(ALIVE, epoch=epoch, subscription=subscription, last=published))
        elif event == "cut":
            again()
        elif event in ("end", "kill"):
            drain()
            if event == "end":
                announced[epoch] = published
                scene.take(word(END, epoch=epoch, subscription=subscription, last=published))
                assert follower.server_ended
            epoch, published = epoch + 1, number
            got[epoch], lost[epoch] = [], 0
            again()
    drain()

    assert [each.epoch for each in follower.ended] == list(range(7, epoch))
    for each in follower.ended:
        assert adds_up(each)
        assert (each.first, each.last) == (1, announced[each.epoch])
        assert each.received == len(got[each.epoch])
        assert got[each.epoch] == sorted(set(got[each.epoch]))
    before = sum(each.lost for each in follower.ended)
    assert follower.lost - before == lost[epoch]
    assert len(got[epoch]) + lost[epoch] + follower.lag == announced[epoch]
