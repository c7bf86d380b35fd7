"""Records: ids, bodies, pieces."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laplace_server.relay.records import (
    Assembler,
    Kind,
    Piece,
    Record,
    RecordId,
    messages_of,
    parts_of,
    read_id,
)

UPDATES = RecordId(2**63, Kind.UPDATES, 5, 9)


def header(arrays: int) -> bytes:
    return struct.pack("<4sBBHIIQQQQQQ", b"\0LHC", 1, 1, arrays, 7, 0, 1, 1, 1, 0, 0, 0)


IDS = st.builds(
    RecordId,
    st.integers(1, 2**64 - 1),
    st.sampled_from(Kind),
    st.integers(1, 2**63),
    st.integers(0, 2**63),
    st.none() | st.builds(Piece, st.integers(1, 99), st.integers(1, 99), st.integers(0, 2**63)),
)


@given(IDS)
def test_an_id_is_read_as_it_was_written(identity: RecordId) -> None:
    assert read_id(str(identity)) == identity


@pytest.mark.parametrize("text", [None, "", "x", "1.updates.2", "1.other.2-3", "1.gap.2-3.1-2"])
def test_what_is_no_id(text: str | None) -> None:
    with pytest.raises(ValueError, match="Nats-Msg-Id"):
        read_id(text)


def test_where_to_go_on() -> None:
    assert UPDATES.following == (2**63, 9)
    piece = UPDATES._replace(first=9, piece=Piece(1, 2, 0))
    assert (piece.following, piece.is_complete) == ((2**63, 8), False)
    assert piece._replace(piece=Piece(2, 2, 0)).following == (2**63, 9)


@given(st.lists(st.lists(st.binary(max_size=20), max_size=3), max_size=4))
def test_messages_are_found_in_a_body(arrays: list[list[bytes]]) -> None:
    messages = [[header(len(each)) + b"[]", *each] for each in arrays]
    body = b"".join(parts_of(messages))
    assert [[bytes(frame) for frame in each] for each in messages_of(body)] == messages


def test_a_body_that_is_cut_short() -> None:
    body = b"".join(parts_of([[header(1), b"array"]]))
    for end in range(1, len(body)):
        with pytest.raises(ValueError, match=r"cut short|without a header"):
            list(messages_of(body[:end]))


@given(st.binary(min_size=1, max_size=100), st.integers(1, 120))
def test_pieces_are_put_together(body: bytes, most_bytes: int) -> None:
    record = Record(UPDATES, [body[:10], body[10:]])
    messages = list(record.messages(most_bytes, begun=3))
    assert all(len(part) <= most_bytes for _, part in messages)
    assert len({str(identity) for identity, _ in messages}) == len(messages)
    together = Assembler()
    found = [together.put(*each) for each in messages]
    assert found[:-1] == [None] * (len(messages) - 1)
    assert found[-1] is not None
    assert (found[-1].id, b"".join(found[-1].parts)) == (UPDATES, body)


def test_an_attempt_that_was_given_up_is_left_out() -> None:
    first, second = (list(Record(UPDATES, [b"abcd"]).messages(1, begun)) for begun in (0, 2))
    together = Assembler()
    given_up = [together.put(*each) for each in first[:2]]
    assert [*given_up, *(together.put(*each) for each in second[:3])] == [None] * 5
    last: Any = together.put(*second[3])
    assert b"".join(last.parts) == b"abcd"
    # What begins in the middle, as where older messages are gone, is nothing.
    assert [together.put(*each) for each in first[1:]] == [None] * 3
    gap = RecordId(1, Kind.GAP, 5, 5)
    assert together.put(gap, b"") == Record(gap, [b""])
