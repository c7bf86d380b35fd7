"""JSON text from the other side, read as the standard library reads it, but for its depth."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any

MAX_NESTING = 1000
"""Deeper text is refused. The reader recurses, and Python's own limit may lie beyond the end of a
thread's stack, which ends the process: in a thread with 1 MiB, Python 3.13's does."""

_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(_STEPS))


def loads(body: bytes) -> Any:
    """Decode JSON text in UTF-8.

    Raises:
        ValueError: it is not that, is nested deeper than ``MAX_NESTING``, or holds an integer of
            more digits than Python reads.
        RecursionError: it is nested deeper than this Python reads.
    """
    text = body.decode()
    # A count is quick; few messages have so many brackets that the depth must be found.
    if body.count(b"[") + body.count(b"{") > MAX_NESTING and _depth(body) > MAX_NESTING:
        raise ValueError(f"nested deeper than {MAX_NESTING} levels")
    return json.loads(text)


def _depth(body: bytes) -> int:
    """Return how deep brackets are nested, up to the first fault if the text is no JSON."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_strings = b"".join(unescaped.split(b'"')[::2])
    brackets = outside_strings.translate(None, _ALL_BUT_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)
