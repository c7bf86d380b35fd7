"""What streams look like on the wire, from a client's side; docs/streams.md has it to the byte."""

from __future__ import annotations

import struct
from typing import NamedTuple

MAGIC = b"\0LHC"
VERSION = 1
UPDATES, ALIVE, END, UNKNOWN, LOOSE = 1, 2, 3, 4, 5
CREDIT, LEAVE = 16, 17

_HEADER = struct.Struct("<4sBBHIIQQQQQQ")
_CONTROL = struct.Struct("<4sBBHIIQQQ")
_TIME_BYTES = 8
_GREATEST = 2**63  # number of an update; a server that tells more is none of ours


class Header(NamedTuple):
    """In front of whatever a server sends to a subscriber."""

    kind: int
    arrays: int
    subscription: int
    updates: int
    epoch: int
    first: int
    last: int
    lost: int
    lost_in_all: int
    sent_in_all: int


def header_of(body: bytes) -> Header | None:
    """Return the header, or None where the message is no stream's, or is cut short."""
    if len(body) < _HEADER.size or body[:4] != MAGIC or body[4] != VERSION:
        return None
    header = Header(*_HEADER.unpack_from(body)[2:])
    if header.first > _GREATEST or header.last > _GREATEST:
        return None
    return header if len(body) >= _HEADER.size + _TIME_BYTES * header.updates else None


def control(
    kind: int, subscription: int, messages: int, allowed_bytes: int, following: int
) -> bytes:
    """Return what a subscriber sends: its credit, counted from the begin, and what it waits for."""
    return _CONTROL.pack(
        MAGIC, VERSION, kind, 0, subscription, 0, messages, allowed_bytes, following
    )


def times_of(body: bytes, count: int) -> tuple[float, ...]:
    """Return the acquisition times of a message's updates, seconds since 1970."""
    return struct.unpack_from(f"<{count}d", body, _HEADER.size)


def text_of(body: bytes, count: int) -> bytes:
    """Return the JSON array of a message's updates."""
    return body[_HEADER.size + _TIME_BYTES * count :]
