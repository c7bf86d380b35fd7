"""What a server of streams sends and what a subscriber sends it, made by hand."""

from __future__ import annotations

import json
import struct
from typing import Any

UPDATES, ALIVE, END, UNKNOWN = 1, 2, 3, 4
CREDIT, LEAVE = 16, 17


def header(
    kind: int,
    *,
    subscription: int = 1,
    epoch: int = 7,
    first: int = 1,
    count: int = 0,
    last: int = 0,
    arrays: int = 0,
) -> bytes:
    fields = (b"\0LHC", 1, kind, arrays, subscription, count, epoch, first, last, 0, 0, 0)
    return struct.pack("<4sBBHIIQQQQQQ", *fields)


def updates(first: int, last: int, *, announced: int = 0, **fields: Any) -> list[bytes]:
    """The frames with the updates of these numbers; the data is {"n": number}."""
    count = last - first + 1
    head = header(UPDATES, first=first, count=count, last=max(last, announced), **fields)
    times = struct.pack(f"<{count}d", *(float(n) for n in range(first, last + 1)))
    return [b"", head + times + json.dumps([{"n": n} for n in range(first, last + 1)]).encode()]


def word(kind: int, **fields: Any) -> list[bytes]:
    return [b"", header(kind, **fields)]


def answer(payload: Any = None, error: str | None = None, **fields: Any) -> list[bytes]:
    """The answer to SUBSCRIBE."""
    granted = {"stream": "s", "epoch": 7, "first": 1, "last": 0, "next": 1, **fields}
    reply = {
        "from": "fake",
        "to": "client",
        "cmd": "SUBSCRIBE",
        "payload": granted if payload is None else payload,
        "version": "0.2.2",
        "error_msg": error,
        "msg": None,
    }
    return [b"", json.dumps(reply).encode()]


def control_of(body: bytes) -> dict[str, int]:
    names = ("kind", "subscription", "messages", "bytes", "next")
    magic, version, kind, zero, subscription, none, *rest = struct.unpack("<4sBBHIIQQQ", body)
    assert (magic, version, zero, none) == (b"\0LHC", 1, 0, 0)
    return dict(zip(names, (kind, subscription, *rest), strict=True))


def adds_up(ended: Any) -> bool:
    """Received and lost are all there were."""
    return bool(ended.received + ended.lost == ended.last - ended.first + 1)
