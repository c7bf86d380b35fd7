"""How a subscription asks, waits, doubts and is answered, message by message; it adds up."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.protocol_scene import Scene
from support.stream_messages import (
    ALIVE,
    END,
    UNKNOWN,
    UPDATES,
    adds_up,
    answer,
    header,
    updates,
    word,
)

from laplace_server.client.ledger import EndedEpoch
from laplace_server.client.names import SILENT
from laplace_server.client.no_answer import SHORT_S
from laplace_server.client.subscription_protocol import ANSWER_S, DOUBT_S
from laplace_server.client.subscription_reader import AGAIN_S, SILENCE_S
from laplace_server.client.subscription_steps import FIRST_RETRY_S, Connect, State
from laplace_server.errors import InvalidReply, RemoteError, VersionMismatch

pytestmark = pytest.mark.transports()


def test_the_first_question() -> None:
    scene = Scene(granted=False, start=5, latest_only=True, credit_bytes=1000)
    assert scene.due_in() == 0  # at once
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
    assert scene.state is State.FOLLOWING
    assert scene.due_in() == SILENCE_S
    assert (
        scene.protocol.ledger.life.epoch,
        scene.protocol.ledger.following,
        scene.protocol.ledger.lag,
    ) == (7, 5, 5)


def test_a_position_asks_for_what_follows_it_in_its_life() -> None:
    scene = Scene(granted=False, start=(7, 41))
    asked = scene.ask()
    assert (asked["start"], asked["epoch"]) == (42, 7)
    scene.take(answer(next=42, first=50, last=60))
    ledger = scene.protocol.ledger
    assert (ledger.life.first, ledger.lag, scene.ended) == (42, 19, ())
    assert scene.got(updates(50, 60)) == [(50, 8), *((n, 0) for n in range(51, 61))]
    scene.gone()
    asked = scene.ask()
    assert (asked["start"], asked["epoch"]) == (61, 7)


def test_a_position_of_another_life_is_a_restart() -> None:
    scene = Scene(granted=False, start=[6, 41])
    assert scene.ask()["epoch"] == 6
    scene.take(answer(next=3, first=3, last=4))
    assert scene.ended == (EndedEpoch(6, 42, 0, 0, 41, False),)
    assert scene.got(updates(3, 4)) == [(3, 2), (4, 0)]
    assert scene.protocol.ledger.lost_in_all == 2


@pytest.mark.parametrize("start", ["latest", "newest"])
def test_all_of_a_younger_stream_is_asked_for(start: str) -> None:
    scene = Scene(granted=False, start=start)
    scene.ask()
    scene.take(answer(error="No such stream: 's'. There are: none."))
    scene.now += FIRST_RETRY_S
    assert scene.ask()["start"] == start
    scene.take(answer(next=5, first=1, last=5))
    asked = scene.ask()
    assert (asked["start"], asked["epoch"]) == (1, 7)


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        (answer(error="Unknown command"), RemoteError),
        (answer(error="Protocol version mismatch: ..."), VersionMismatch),
        (answer([]), InvalidReply),
        (answer({"epoch": "x", "next": 1, "last": 1}), InvalidReply),
        (answer(next=-1), InvalidReply),
        (answer(last=2**64), InvalidReply),
        (answer(epoch=math.inf), InvalidReply),
        (answer(epoch=0), InvalidReply),
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
    scene.gone()
    for _ in range(3):
        asked = scene.ask()
        assert (asked["start"], asked["epoch"]) == (4, 7)
        scene.take(answer(error="No such stream: 's'."))
        assert (scene.state, scene.due_in()) == (State.APART, AGAIN_S)
        scene.now += AGAIN_S
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # once
    scene.ask()
    scene.take(answer(next=4, last=5))
    assert scene.got(updates(4, 5, subscription=5)) == [(4, 0), (5, 0)]
    assert scene.ended == ()


def test_nobody_there_is_asked_less_and_less_often() -> None:
    scene = Scene()
    scene.gone()
    waits = [scene.due_in()]
    for _ in range(6):
        scene.now += waits[-1]
        scene.ask(made=False)
        scene.protocol.refused()
        assert scene.due_in() < 0  # what came before is read first
        scene.gone()
        scene.gone()  # said twice
        waits.append(scene.due_in())
    assert waits == [0, FIRST_RETRY_S, 0.2, 0.4, 0.8, AGAIN_S, AGAIN_S]


def test_an_attempt_cut_short_does_not_hide_why_the_one_before_failed() -> None:
    scene = Scene(granted=False)
    scene.ask()
    scene.protocol.broken("it was closed")
    scene.protocol.nothing(scene.now)
    assert scene.protocol.why_not(scene.now) == "it was closed"
    scene.now += FIRST_RETRY_S
    scene.ask()
    assert scene.protocol.why_not(scene.now) == "it was closed"
    assert scene.protocol.why_not(scene.now + SHORT_S) is None  # it is being thought over


def test_an_answer_tells_that_the_handshake_is_over() -> None:
    """It may be read before anybody says that the connection is ready."""
    scene = Scene(granted=False)
    step = scene.protocol.todo(scene.now)
    assert isinstance(step, Connect)
    scene.protocol.asked(step, scene.now)
    scene.protocol.made(scene.now)
    assert scene.protocol.why_not(scene.now) == SILENT
    scene.take(answer())
    scene.protocol.nothing(scene.now)
    assert scene.protocol.why_not(scene.now) is None


def test_silence_is_due() -> None:
    scene = Scene()
    scene.now += 1.5
    scene.take(word(ALIVE))
    assert scene.due_in() == SILENCE_S
    scene.now += 1.5
    scene.got(updates(1, 1))
    assert scene.due_in() == SILENCE_S


def test_silence_is_believed_at_the_second_time() -> None:
    """This process may have stood still, and what came meanwhile be about to be read."""
    scene = Scene()
    protocol = scene.protocol
    for _ in range(2):
        scene.now += 60
        protocol.nothing(scene.now)
        protocol.nothing(scene.now)
        assert (scene.state, scene.due_in()) == (State.FOLLOWING, DOUBT_S)
        scene.take(word(ALIVE))
        scene.credit()
        assert scene.due_in() == SILENCE_S
    scene.now += 60
    protocol.nothing(scene.now)
    assert scene.state is State.FOLLOWING
    scene.now += DOUBT_S
    protocol.nothing(scene.now)
    assert (scene.state, scene.due_in()) == (State.APART, 0)
    scene.ask()
    protocol.nothing(scene.now)
    assert (scene.state, scene.due_in()) == (State.ASKING, ANSWER_S)
    scene.now += ANSWER_S
    protocol.nothing(scene.now)
    assert (scene.state, scene.due_in()) == (State.APART, 0)


def test_numbers_of_subscriptions_differ() -> None:
    scene = Scene(granted=False)
    for number in (1, 2, 3):
        assert scene.ask()["subscription"] == number
        scene.gone()
        scene.now += AGAIN_S
    scene.protocol._session.number = 2**32 - 1
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
        assert scene.state is State.FOLLOWING
    assert (scene.protocol.ledger.life.epoch, scene.protocol.ledger.following) == (7, 3)
    # What could not be read is missing, and said to be.
    assert scene.got(updates(4, 4)) == [(4, 1)]


def test_before_the_answer_no_updates_are_taken() -> None:
    scene = Scene(granted=False)
    scene.ask()
    assert scene.got(updates(1, 2)) == []
    assert scene.credit() is None
    assert scene.protocol.leave() is None


def test_unknown_in_bursts_makes_one_new_question() -> None:
    scene = Scene()
    scene.now += FIRST_RETRY_S
    for _ in range(5):
        scene.take(word(UNKNOWN))
        assert (scene.state, scene.due_in()) == (State.APART, 0)
        assert isinstance(scene.protocol.todo(scene.now), Connect)
    scene.take(answer())
    assert scene.state is State.APART  # nothing counts before the next question
    assert scene.ask()["subscription"] == 2
    scene.take(word(UNKNOWN))
    assert scene.state is State.ASKING


@pytest.mark.parametrize("how", ["broken", "unknown"])
def test_who_grants_and_ends_at_once_is_asked_after_a_moment(how: str) -> None:
    scene = Scene()
    for number in range(2, 5):
        if how == "broken":
            scene.protocol.broken()
            scene.protocol.nothing(scene.now)
        else:
            scene.take(word(UNKNOWN, subscription=number - 1))
        assert (scene.state, scene.due_in()) == (State.APART, FIRST_RETRY_S)
        assert scene.protocol.todo(scene.now) is None
        scene.now += FIRST_RETRY_S
        assert scene.ask()["subscription"] == number
        scene.take(answer())


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
    protocol = scene.protocol
    epoch, published, sent, announced = 7, 0, 0, {7: 0}
    got: dict[int, list[int]] = {7: []}
    lost: dict[int, int] = {7: 0}

    def drain(count: int | None = None) -> None:
        for update in itertools.islice(protocol.batch, count):
            got[update.epoch].append(update.seq)
            lost[update.epoch] += update.lost_before

    def again() -> None:
        nonlocal sent
        drain()
        scene.gone()
        asked = scene.ask()
        same = asked["epoch"] == epoch
        sent = asked["start"] - 1 if same else 0
        announced[epoch] = published
        scene.take(answer(epoch=epoch, first=1, last=published, next=sent + 1))

    for event, number in events:
        subscription = protocol._session.number
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
                assert protocol.ledger.life.over
            epoch, published = epoch + 1, number
            got[epoch], lost[epoch] = [], 0
            again()
    drain()

    assert [each.epoch for each in scene.ended] == list(range(7, epoch))
    for each in scene.ended:
        assert adds_up(each)
        assert (each.first, each.last) == (1, announced[each.epoch])
        assert each.received == len(got[each.epoch])
        assert got[each.epoch] == sorted(set(got[each.epoch]))
    before = sum(each.lost for each in scene.ended)
    assert protocol.ledger.lost_in_all - before == lost[epoch]
    assert len(got[epoch]) + lost[epoch] + protocol.ledger.lag == announced[epoch]
