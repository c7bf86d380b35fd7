"""What a subscription makes of updates, gaps, credit and epochs, message by message."""

from __future__ import annotations

import json
import logging
import struct

import numpy as np
import pytest
from support.protocol_scene import Scene
from support.stream_messages import (
    ALIVE,
    CREDIT,
    END,
    LEAVE,
    UPDATES,
    answer,
    control_of,
    header,
    updates,
    word,
)

from laplace_server.client.credit_window import FEW
from laplace_server.client.ledger import MAX_ENDED, EndedEpoch
from laplace_server.client.subscription_reader import AGAIN_S
from laplace_server.client.subscription_steps import State

pytestmark = pytest.mark.transports()

# ---- updates


def test_updates_and_gaps() -> None:
    scene = Scene()
    assert scene.got(updates(1, 3)) == [(1, 0), (2, 0), (3, 0)]
    assert scene.got(updates(6, 7, announced=9)) == [(6, 2), (7, 0)]
    assert (scene.protocol.ledger.lost_in_all, scene.protocol.ledger.lag) == (2, 2)
    assert scene.got(updates(1, 7)) == []  # known
    assert scene.got(updates(5, 9)) == [(8, 0), (9, 0)]  # known in part
    assert (scene.protocol.ledger.lost_in_all, scene.protocol.ledger.lag) == (2, 0)


def test_in_the_middle_of_a_message_all_numbers_are_right() -> None:
    scene = Scene()
    scene.take(updates(1, 5, announced=8))
    first, second = next(scene.protocol.batch), next(scene.protocol.batch)
    assert (first.seq, second.seq) == (1, 2)
    assert (
        len(scene.protocol.batch),
        scene.protocol.ledger.following,
        scene.protocol.ledger.lag,
    ) == (3, 3, 6)
    scene.protocol.drop()
    assert list(scene.protocol.batch) == []
    assert (len(scene.protocol.batch), scene.protocol.ledger.following) == (0, 3)


def test_credit_follows_what_is_taken() -> None:
    scene = Scene()
    for n in range(1, FEW // 2):
        scene.got(updates(n, n))
        assert scene.credit() is None
    scene.got(updates(FEW // 2, FEW // 2))
    size = sum(len(updates(n, n)[1]) for n in range(1, FEW // 2 + 1))
    assert scene.credit() == {
        "kind": CREDIT,
        "subscription": 1,
        "messages": FEW + FEW // 2,
        "bytes": (1 << 20) + size,
        "next": FEW // 2 + 1,
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
    body = scene.protocol.leave()
    assert body is not None
    assert (control_of(body)["kind"], control_of(body)["next"]) == (LEAVE, 4)


def test_arrays_are_views_that_cannot_be_written() -> None:
    scene = Scene()
    array = np.arange(10_000.0)
    described = [{"a": None}, [{"path": ["a"], "dtype": "<f8", "shape": [100, 100]}]]
    head = header(UPDATES, first=1, count=1, last=1, arrays=1) + struct.pack("<d", 1)
    scene.take([b"", head + json.dumps(described).encode(), array.tobytes()])
    (update,) = scene.protocol.batch
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
    assert len(scene.protocol.batch) == 0
    assert "cannot be read" in caplog.text
    assert scene.got(updates(7, 7)) == [(7, 3)]


# ---- epochs


def test_an_end_accounts_for_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "laplace.client")
    scene = Scene()
    scene.got(updates(3, 5, announced=9))
    scene.take(word(END, first=6, last=12))
    assert scene.protocol.ledger.life.over
    assert scene.ended == (EndedEpoch(7, 1, 3, 9, 12, True),)
    assert (scene.protocol.ledger.lost_in_all, scene.protocol.ledger.lag) == (9, 0)
    assert scene.got(updates(6, 12)) == []  # an epoch ends once
    assert len(scene.ended) == 1
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("laplace.client", "WARNING")
    assert "ended at update 12: 3 received, 9 lost." in record.getMessage()

    scene.gone()
    asked = scene.ask()
    assert (asked["epoch"], asked["start"]) == (7, 13)
    scene.take(answer(epoch=8, first=1, last=4, next=1))
    assert not scene.protocol.ledger.life.over
    assert scene.got(updates(3, 4, epoch=8, subscription=2)) == [(3, 2), (4, 0)]
    assert scene.protocol.ledger.life.epoch == 8
    assert scene.protocol.ledger.lost_in_all == 11


def test_an_end_without_loss_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "laplace.client")
    scene = Scene()
    scene.got(updates(1, 5))
    scene.take(word(END, last=5))
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert scene.protocol.ledger.lost_in_all == 0


def test_an_epoch_that_vanished_has_an_unknown_end() -> None:
    scene = Scene()
    scene.got(updates(1, 5, announced=8))
    scene.take(word(ALIVE, last=10))
    scene.gone()
    scene.ask()
    assert scene.ended == ()
    scene.take(answer(epoch=8, last=0))
    assert scene.ended == (EndedEpoch(7, 1, 5, 5, 10, False),)
    assert not scene.protocol.ledger.life.over
    assert scene.got(updates(1, 2, epoch=8, subscription=2)) == [(1, 0), (2, 0)]


def test_a_new_epoch_in_a_header_counts_like_one_in_an_answer() -> None:
    scene = Scene()
    scene.got(updates(1, 5))
    assert scene.got(updates(2, 3, epoch=8)) == [(2, 1), (3, 0)]
    assert scene.ended == (EndedEpoch(7, 1, 5, 0, 5, False),)
    assert scene.got(updates(6, 7)) == []  # from the epoch before
    assert scene.protocol.ledger.life.epoch == 8


def test_the_server_that_has_ended_does_not_come_back() -> None:
    scene = Scene()
    scene.take(word(END))
    scene.gone()
    scene.ask()
    scene.take(answer())
    assert (scene.state, scene.due_in()) == (State.APART, AGAIN_S)
    assert len(scene.ended) == 1


def test_few_ended_epochs_are_remembered() -> None:
    scene = Scene()
    for epoch in range(8, 8 + 2 * MAX_ENDED):
        scene.got(updates(1, 1, epoch=epoch))
    assert len(scene.ended) == MAX_ENDED
    assert scene.ended[-1].epoch == 6 + 2 * MAX_ENDED


@pytest.mark.parametrize(
    "message", [updates(3, 3, epoch=0), word(ALIVE, epoch=0), word(END, epoch=0)]
)
def test_no_life_has_epoch_0(message: list[bytes]) -> None:
    scene = Scene()
    scene.got(updates(1, 2))
    assert scene.got(message) == []
    assert scene.protocol.ledger.life.epoch == 7
    assert scene.ended == ()
    assert scene.got(updates(3, 4)) == [(3, 0), (4, 0)]
