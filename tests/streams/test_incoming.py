"""What the compiled reader makes of a stream's messages for a client."""

from __future__ import annotations

import gc
import operator
import struct
import sys
import weakref
from typing import Any

import orjson
import pytest
from support.stream_messages import UPDATES, control_of, updates

from laplace_server.client import _frames
from laplace_server.client.updates import Update

pytestmark = pytest.mark.transports()

HEADER_BYTES = 64


def body_of(first: int, last: int) -> bytes:
    return updates(first, last)[1]


def made(count: int, *, first: int = 1, lost: int = 0, known: int = 0) -> _frames.Updates[Update]:
    body = body_of(first, first + count - 1)
    datas = orjson.loads(_frames.stream_text(body, count))
    return _frames.Updates(Update, body, datas, first, 7, lost, known)


def test_header() -> None:
    body = body_of(3, 5)
    found = _frames.stream_header(body)
    assert found is not None
    kind, arrays, _, count, _, first, last = found
    assert (kind, arrays, count, first, last) == (UPDATES, 0, 3, 3, 5)
    assert orjson.loads(_frames.stream_text(body, 3)) == [{"n": 3}, {"n": 4}, {"n": 5}]


@pytest.mark.parametrize("length", [0, 1, 63, HEADER_BYTES + 8 * 3 - 1])
def test_a_message_that_is_cut_short_is_none(length: int) -> None:
    assert _frames.stream_header(body_of(3, 5)[:length]) is None


@pytest.mark.parametrize(
    ("place", "what"),
    [(0, b"{"), (4, b"\2"), (12, b"\xff\xff\xff\xff"), (31, b"\x81"), (39, b"\x81")],
    ids=["magic", "version", "count", "first", "last"],
)
def test_a_header_that_cannot_be_is_none(place: int, what: bytes) -> None:
    body = bytearray(body_of(3, 5))
    body[place : place + len(what)] = what
    assert _frames.stream_header(bytes(body)) is None


def test_the_kinds_of_messages_are_those_of_the_documents() -> None:
    names = ("UPDATES", "ALIVE", "END", "UNKNOWN", "LOOSE", "CREDIT", "LEAVE")
    assert [getattr(_frames, name) for name in names] == [1, 2, 3, 4, 5, 16, 17]


@pytest.mark.parametrize("kind", [_frames.CREDIT, _frames.LEAVE])
def test_what_a_subscriber_sends(kind: int) -> None:
    numbers = (2**32 - 1, 2**64 - 1, 2**63, 7)
    body = _frames.stream_control(kind, *numbers)
    names = ("kind", "subscription", "messages", "bytes", "next")
    assert control_of(body) == dict(zip(names, (kind, *numbers), strict=True))


def test_a_subscriber_sends_nothing_else() -> None:
    for number in (-1, 2**64):
        with pytest.raises(OverflowError):
            _frames.stream_control(_frames.CREDIT, 1, number, 1, 1)
    for kind in (_frames.END, 256 + _frames.CREDIT):
        with pytest.raises(ValueError, match="no message of kind"):
            _frames.stream_control(kind, 1, 1, 1, 1)


def test_greatest_number() -> None:
    body = bytearray(body_of(3, 5))
    struct.pack_into("<QQ", body, 24, 2**63, 2**63)
    found = _frames.stream_header(bytes(body))
    assert found is not None
    assert found[5:] == (2**63, 2**63)


def test_updates_are_made_one_by_one() -> None:
    batch = made(3, first=5, lost=2)
    assert len(batch) == operator.length_hint(batch) == 3
    update = next(batch)
    assert type(update) is Update
    assert update == Update(5, 7, 5.0, {"n": 5}, 2)
    assert len(batch) == 2
    assert list(batch) == [Update(6, 7, 6.0, {"n": 6}, 0), Update(7, 7, 7.0, {"n": 7}, 0)]
    assert not batch
    with pytest.raises(StopIteration):
        next(batch)


def test_known_ones_are_left_out() -> None:
    assert [update.seq for update in made(4, known=3)] == [4]
    assert list(made(4, known=4)) == []


def test_numbers_of_any_size() -> None:
    body = body_of(1, 1)
    (update,) = _frames.Updates(Update, body, [{}], 2**63, 2**64 - 1, 2**63, 0)
    assert update == Update(2**63, 2**64 - 1, 1.0, {}, 2**63)


def test_nothing_comes_after_drop() -> None:
    batch = made(4)
    next(batch)
    batch.drop()
    assert len(batch) == 0
    assert list(batch) == []


class Value:
    """Can be watched."""


def test_one_that_nobody_got_is_taken_back() -> None:
    batch = made(3, lost=2)
    first = next(batch)
    batch.put_back(first)
    assert len(batch) == 3
    assert next(batch) == first
    second = next(batch)
    batch.put_back(second)
    assert [(each.seq, each.lost_before) for each in batch] == [(2, 0), (3, 0)]
    last = Update(3, 7, 0.0, {}, 0)
    batch.put_back(last)
    assert len(batch) == 1
    batch.drop()
    batch.put_back(last)
    assert list(batch) == []
    fresh = made(1)
    fresh.put_back(last)  # none has been taken
    assert [each.seq for each in fresh] == [1]


def test_what_is_taken_is_not_kept() -> None:
    value = Value()
    watched = weakref.ref(value)
    batch = _frames.Updates(Update, body_of(1, 2), [{"v": value}, {}], 1, 7, 0, 0)
    del value
    update = next(batch)
    assert watched() is not None
    del update
    assert watched() is None
    assert len(batch) == 1


def test_an_update_is_a_tuple_like_any_other() -> None:
    body = body_of(1, 2)
    hashable: Any = "a"
    first, second = _frames.Updates(Update, body, [hashable, {}], 1, 7, 0, 0)
    assert hash(first) == hash(Update(1, 7, 1.0, hashable, 0))
    with pytest.raises(TypeError, match="unhashable"):
        hash(second)


def test_a_message_is_not_kept() -> None:
    body = b"".join((body_of(1, 1), bytes(1000)))
    before = sys.getrefcount(body)
    batch = _frames.Updates(Update, body, [{}], 1, 7, 0, 0)
    assert sys.getrefcount(body) == before
    assert len(list(batch)) == 1


def test_a_list_that_somebody_else_changes() -> None:
    datas: list[Any] = [{}, {}]
    batch = _frames.Updates(Update, body_of(1, 2), datas, 1, 7, 0, 0)
    datas.extend([{}] * 1000)
    assert [update.seq for update in batch] == [1, 2]
    datas = [{}, {}]
    batch = _frames.Updates(Update, body_of(1, 2), datas, 1, 7, 0, 0)
    next(batch)
    datas.clear()
    assert list(batch) == []


class Dropping:
    """Garbage that ends the batch when it is collected, as a signal handler's close() would."""

    batch: _frames.Updates[Update]

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        self.batch.drop()


def test_the_end_comes_while_an_update_is_made() -> None:
    """Where the collector may run in the middle of it, as before Python 3.12."""
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(50):
            batch = made(4)
            garbage = Dropping()
            garbage.batch = batch
            del garbage
            numbers = [update.seq for update in batch]
            assert numbers == list(range(1, len(numbers) + 1))
    finally:
        gc.set_threshold(*threshold)


def test_counts_of_references_come_out_even() -> None:
    data: dict[str, Any] = {}
    before = sys.getrefcount(data), sys.getrefcount(Update)
    for _ in range(100):
        batch = _frames.Updates(Update, body_of(1, 3), [data] * 3, 1, 7, 0, 0)
        found = [next(batch), next(batch)]
        assert gc.is_tracked(found[0])
        del batch, found
    assert (sys.getrefcount(data), sys.getrefcount(Update)) == before


def test_wrong_arguments() -> None:
    body = body_of(1, 2)
    no_tuple: Any = list
    with pytest.raises(TypeError, match="is no tuple"):
        _frames.Updates(no_tuple, body, [{}], 1, 7, 0, 0)
    with pytest.raises(ValueError, match="too few for 100 updates"):
        _frames.Updates(Update, body, [{}] * 100, 1, 7, 0, 0)
    for known in (-1, 2):
        with pytest.raises(ValueError, match="are known"):
            _frames.Updates(Update, body, [{}], 1, 7, 0, known)
    with pytest.raises(OverflowError):
        _frames.Updates(Update, body, [{}], -1, 7, 0, 0)
    assert list(_frames.Updates(Update, b"", [], 1, 7, 0, 0)) == []
