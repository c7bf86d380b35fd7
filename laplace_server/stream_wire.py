"""What subscribers send, and the kinds of messages; docs/streams.md has it to the byte.

What they are sent is read by the core.
"""

from __future__ import annotations

import struct

MAGIC = b"\0LHC"
VERSION = 1
UPDATES, ALIVE, END, UNKNOWN, LOOSE = 1, 2, 3, 4, 5
WITH_UPDATES = (UPDATES, LOOSE)
CREDIT, LEAVE = 16, 17

_CONTROL = struct.Struct("<4sBBHIIQQQ")


def control(
    kind: int, subscription: int, messages: int, allowed_bytes: int, following: int
) -> bytes:
    """Return what a subscriber sends: its credit, counted from the begin, and what it waits for."""
    return _CONTROL.pack(
        MAGIC, VERSION, kind, 0, subscription, 0, messages, allowed_bytes, following
    )
