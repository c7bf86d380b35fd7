"""What the accounts of updates and of requests find."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from laplace_server.stream import EndedEpoch


def update(seq: int, lost_before: int = 0, epoch: int = 7) -> Any:
    return SimpleNamespace(seq=seq, lost_before=lost_before, epoch=epoch)


def account(*updates: Any) -> Any:
    from reliability.common.accounts import Account

    made = Account()
    for each in updates:
        made.take(each)
    return made


def counts(made: Any) -> tuple[int, int, int, int]:
    return made.told(), made.lost, made.doubled, made.out_of_order


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        ([update(1), update(2), update(3)], (0, 0, 0, 0)),
        ([update(1), update(4, 2)], (2, 0, 0, 0)),
        ([update(1), update(4)], (0, 2, 0, 0)),
        ([update(1), update(4, 1)], (1, 1, 0, 0)),
        ([update(1), update(2), update(2)], (0, 0, 1, 0)),
        ([update(1), update(3), update(2)], (0, 0, 0, 1)),
        ([update(5), update(6)], (0, 0, 0, 0)),  # who came later
        ([update(5), update(1, epoch=8)], (0, 0, 0, 0)),
        ([update(5), update(3, 2, epoch=8)], (2, 0, 0, 0)),
        ([update(5), update(3, epoch=8)], (0, 2, 0, 0)),
        ([update(5), update(1, epoch=8), update(6)], (0, 0, 0, 1)),
    ],
)
def test_what_is_counted(updates: list[Any], expected: tuple[int, int, int, int]) -> None:
    made = account(*updates)
    assert counts(made) == expected
    assert made.wrong == []


def test_more_told_as_lost_than_missing() -> None:
    assert account(update(1), update(2, 3)).wrong == [
        "before 2 3 more were told as lost than are missing"
    ]


def test_an_update_with_other_data() -> None:
    from reliability.common.accounts import Account

    made = Account()
    made.take(update(1), lambda update: False)
    assert made.wrong == ["update 1 does not hold what was published"]


@pytest.mark.parametrize(
    ("ended", "wrong"),
    [
        (EndedEpoch(7, 1, 2, 3, 5, True), 0),
        (EndedEpoch(7, 1, 2, 2, 5, True), 1),  # does not add up
        (EndedEpoch(7, 1, 3, 2, 5, True), 1),  # another one came
    ],
)
def test_a_life_that_is_over(ended: EndedEpoch, wrong: int) -> None:
    from reliability.common.accounts import against_published, unsaid

    made = account(update(1), update(2))
    made.end([ended])
    made.end([ended])
    made.take(update(1, epoch=8))
    assert len(made.wrong) == wrong
    assert list(made.lives) == [7, 8]
    report = made.report()
    assert against_published(report, {7: 5, 8: 1}) == []
    assert against_published(report, {7: 4, 8: 1}) == []  # killed before it was noted
    assert against_published(report, {7: 3, 8: 1}) == [
        "epoch 7 had 3 updates, told were 5",
    ]
    assert against_published(report, {7: 6}) == ["epoch 7 ended at 5, and 6 were published"]
    assert against_published(report, {}) == ["nobody published in epoch 7"]
    assert unsaid(report, {7: 9}) == 4


def test_a_life_that_was_over_before_its_first_update() -> None:
    made = account(update(1), update(1, epoch=9))
    made.end([EndedEpoch(7, 1, 1, 0, 1, True), EndedEpoch(8, 1, 0, 4, 4, False)])
    made.take(update(2, epoch=9))
    assert counts(made) == (4, 0, 0, 0)
    assert made.wrong == []


def test_requests(tmp_path: Path) -> None:
    from reliability.common import journal

    lives = [tmp_path / "life-1", tmp_path / "life-2"]
    for path, numbers in zip(lives, [(0, 2, 3), (3, 4)], strict=True):
        applied = journal.Applied(path)
        for number in numbers:
            applied.note(1, number)
        applied.note(2, 1)  # somebody else's
        applied.close()
    outcomes = journal.Outcomes(tmp_path / "outcomes")
    for outcome in (
        journal.ANSWERED,
        journal.ANSWERED,  # and never carried out
        journal.NOT_CARRIED_OUT,  # and carried out
        journal.UNKNOWN,  # twice
        journal.UNKNOWN,  # once
        journal.NOT_CARRIED_OUT,
        journal.UNKNOWN,
    ):
        outcomes.note(outcome)
    outcomes.close()
    settled = journal.settle(1, tmp_path / "outcomes", journal.applied(lives))
    assert settled == journal.Settled(
        asked=7,
        answered=2,
        not_carried_out=2,
        unknown=3,
        lost=1,
        doubled=1,
        against_word=1,
    )


def test_what_was_published(tmp_path: Path) -> None:
    from reliability.common.journal import Published

    path = tmp_path / "life-1.published"
    published = Published(path)
    assert Published.read(path) == (0, 0)
    published.note(1 << 62, 17)
    assert Published.read(path) == (1 << 62, 17)
