"""Records as a server would have sent them to a subscription."""

from __future__ import annotations

import json
import struct
from typing import Any

from laplace_server.client import _frames
from laplace_server.relay.records import Kind, Record, messages_of

# docs/streams.md: magic, version, kind, arrays, subscription, updates, epoch, first, last, and
# three counts.
_HEADER = struct.Struct("<4sBBHIIQQQQQQ")
_COUNT_AT, _FIRST_AT = 5, 7
_TIME = struct.Struct("<d")
_SUBSCRIPTION = struct.Struct("<I")
_SUBSCRIPTION_AT = 8
_CONTROL = struct.Struct("<4sBBHIIQQQ")  # magic, version, kind, -, subscription, -, credit, next

Message = list[Any]
"""Frames: bytes, and arrays as memoryviews."""


def messages_for(record: Record, subscription: int) -> list[Message]:
    """Return the messages of a record.

    Raises:
        ValueError: its body is none of a relay's.
    """
    identity = record.id
    if identity.kind is Kind.END:
        return [word(_frames.END, subscription, identity.epoch, identity.last)]
    if identity.kind is not Kind.UPDATES:
        # What is lost shows where the next update comes; until then, by the last number.
        return [word(_frames.ALIVE, subscription, identity.epoch, identity.last)]
    number = _SUBSCRIPTION.pack(subscription)
    end = _SUBSCRIPTION_AT + len(number)
    return [
        [b"", bytes(head[:_SUBSCRIPTION_AT]) + number + bytes(head[end:]), *arrays]
        for part in record.parts
        for head, *arrays in messages_of(part)
    ]


def last_update(message: Message) -> Message:
    """Return a message with the last of its updates alone."""
    body: bytes = message[1]
    count = _HEADER.unpack_from(body)[_COUNT_AT]
    if count == 1:
        return message
    fields = list(_HEADER.unpack_from(body))
    fields[_COUNT_AT], fields[_FIRST_AT] = 1, fields[_FIRST_AT] + count - 1
    end = _HEADER.size + count * _TIME.size
    text = json.dumps(json.loads(_frames.stream_text(body, count))[-1:], separators=(",", ":"))
    return [b"", _HEADER.pack(*fields) + body[end - _TIME.size : end] + text.encode()]


def word(kind: int, subscription: int, epoch: int, last: int) -> Message:
    """Return a message without updates."""
    header = (b"\0LHC", 1, kind, 0, subscription, 0, epoch, last + 1, last, 0, 0, 0)
    return [b"", _HEADER.pack(*header)]


def size_of(message: Message) -> int:
    """Return how many bytes of credit a message takes."""
    return sum(map(len, message))


def credit_of(body: bytes) -> tuple[int, int] | None:
    """Return the messages and bytes that a subscription allows in all; None: it says no such."""
    if len(body) != _CONTROL.size:
        return None
    _, _, kind, _, _, _, messages, size, _ = _CONTROL.unpack(body)
    return (messages, size) if kind == _frames.CREDIT else None
