"""What a subscription tells becomes records in which each number is once."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from laplace_server.client.ledger import EndedEpoch
from laplace_server.client.packs import Pack
from laplace_server.relay.records import Kind, Piece, RecordId, read_id
from laplace_server.relay.transcript import MOST_BYTES, Transcript


def pack(
    first: int, last: int, *, epoch: int = 1, lost: int = 0, arrays: int = 0, pad: int = 0
) -> Pack:
    count = last + 1 - first
    head = (b"\0LHC", 1, 1, arrays, 7, count, epoch, first, last, 0, 0, 0)
    body = struct.pack("<4sBBHIIQQQQQQ", *head) + bytes(8 * count + pad)
    return Pack(last, epoch, 0.0, (body, *[b"array"] * arrays), lost)


def ended(epoch: int, first: int, last: int, *, lost: int = 0, complete: bool = True) -> EndedEpoch:
    return EndedEpoch(epoch, first, last + 1 - first - lost, lost, last, complete)


def written(
    transcript: Transcript, packs: Sequence[Pack], lives: Sequence[EndedEpoch] = ()
) -> list[str]:
    return [str(record.id) for record in transcript.take(packs, lives)]


def test_small_packs_are_joined() -> None:
    packs = [pack(n, n) for n in range(1, 131)]
    assert written(Transcript(None), packs) == [
        "1.updates.1-64",
        "1.updates.65-128",
        "1.updates.129-130",
    ]


def test_a_large_pack_and_arrays_are_alone() -> None:
    packs = [pack(1, 1), pack(2, 900), pack(901, 901), pack(902, 902, arrays=1), pack(903, 903)]
    assert written(Transcript(None), packs) == [
        "1.updates.1-1",
        "1.updates.2-900",
        "1.updates.901-901",
        "1.updates.902-902",
        "1.updates.903-903",
    ]
    wide = [pack(n, n, pad=MOST_BYTES // 3) for n in range(1, 5)]
    assert written(Transcript(None), wide) == ["1.updates.1-2", "1.updates.3-4"]


def test_losses_are_gaps() -> None:
    transcript = Transcript(None)
    assert written(transcript, [pack(5, 6), pack(9, 9, lost=2)]) == [
        "1.updates.5-6",
        "1.gap.7-8",
        "1.updates.9-9",
    ]
    assert written(transcript, [pack(11, 11, lost=1)]) == ["1.gap.10-10", "1.updates.11-11"]


def test_an_end_is_noted_once() -> None:
    transcript = Transcript(None)
    lives = [ended(1, 5, 8, lost=2)]
    assert written(transcript, [pack(5, 6)], lives) == ["1.updates.5-6", "1.end.7-8"]
    assert written(transcript, [], lives) == []
    assert written(transcript, [pack(3, 3, epoch=2, lost=2)], lives) == [
        "2.gap.1-2",
        "2.updates.3-3",
    ]


def test_an_end_between_two_packs() -> None:
    lives = [ended(1, 5, 6, complete=False), ended(3, 1, 0)]
    packs = [pack(5, 6), pack(1, 1, epoch=2)]
    assert written(Transcript(None), packs, lives) == [
        "1.updates.5-6",
        "1.cut.7-6",
        "3.end.1-0",
        "2.updates.1-1",
    ]


def test_all_that_is_known_of_a_life_may_be_its_end() -> None:
    assert written(Transcript(None), [], [ended(4, 1, 9, lost=9)]) == ["4.end.1-9"]


def test_going_on_behind_a_record() -> None:
    transcript = Transcript(read_id("1.updates.1-9"))
    # The message began before, where a connection had broken.
    assert written(transcript, [pack(8, 12)]) == ["1.updates.10-12"]


@pytest.mark.parametrize("last", ["1.end.10-9", "1.cut.8-9"])
def test_going_on_behind_an_end(last: str) -> None:
    transcript = Transcript(read_id(last))
    # The subscription was begun behind it, and tells that it is over once more.
    lives = [ended(1, 10, 9, complete=False)]
    assert written(transcript, [pack(1, 2, epoch=2)], lives) == ["2.updates.1-2"]


def test_going_on_behind_a_life_that_is_over_by_now() -> None:
    transcript = Transcript(read_id("1.updates.1-9"))
    lives = [ended(1, 10, 9, complete=False)]
    assert written(transcript, [pack(3, 4, epoch=2, lost=2)], lives) == [
        "1.cut.10-9",
        "2.gap.1-2",
        "2.updates.3-4",
    ]


def test_what_was_begun_in_pieces_is_begun_again() -> None:
    last = RecordId(1, Kind.UPDATES, 5, 5, Piece(2, 3, 0))
    assert written(Transcript(last), [pack(5, 5, arrays=1)]) == ["1.updates.5-5"]
    assert written(Transcript(last), [pack(7, 7, lost=2)]) == ["1.gap.5-6", "1.updates.7-7"]
