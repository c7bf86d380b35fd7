"""Hypothesis strategies for requests: envelopes of any JSON, written in any way, some broken."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from differential.frames import COMMANDS, PAYLOAD_KEY
from hypothesis import strategies as st

Drawn = TypeVar("Drawn")

# All characters, lone surrogates among them.
TEXT = st.text(st.characters(), max_size=12)
NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(10**30), 10**30),
    st.sampled_from([0, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64 - 1, 2**64]),
    st.floats(),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)
KEYS = st.one_of(st.sampled_from(sorted(set(PAYLOAD_KEY.values()))), TEXT)
ENVELOPE_KEYS = ["from", "cmd", "payload", "version", "to", "error_msg", "msg"]


def _mostly(
    usual: st.SearchStrategy[Drawn], other: st.SearchStrategy[Drawn]
) -> st.SearchStrategy[Drawn]:
    return st.integers(0, 7).flatmap(lambda i: usual if i else other)


VALUES = {
    "from": _mostly(TEXT, JSON),
    # STOP would end both servers.
    "cmd": _mostly(st.sampled_from(COMMANDS), JSON.filter(lambda value: value != "STOP")),
    "payload": _mostly(st.dictionaries(KEYS, JSON, max_size=4), JSON),
    "version": _mostly(st.just("0.2.2"), JSON),
    "to": JSON,
    "error_msg": JSON,
    "msg": JSON,
}


@st.composite
def random_frame(draw: st.DrawFn) -> bytes:
    """Return one request as bytes."""
    names = draw(st.permutations(ENVELOPE_KEYS))
    missing = draw(_mostly(st.just(set()), st.sets(st.sampled_from(ENVELOPE_KEYS))))
    pairs = [(name, draw(VALUES[name])) for name in names if name not in missing]
    # Duplicates of the envelope's own keys, and keys that nobody knows.
    pairs += [(name, draw(VALUES[name])) for name in draw(_few_names())]
    pairs += draw(st.lists(st.tuples(TEXT, JSON), max_size=2))
    style: dict[str, Any] = {
        "ensure_ascii": draw(st.booleans()),
        "indent": draw(st.sampled_from([None, None, 0, 3])),
    }
    space = draw(st.sampled_from(["", " ", "\n", "\r\n\t "]))
    body = f",{space}".join(
        f"{_key(draw, name)}{space}:{json.dumps(value, **style)}" for name, value in pairs
    )
    # A lone surrogate written as it is makes the text no UTF-8.
    frame = f"{space}{{{body}{space}}}{space}".encode("utf-8", "surrogatepass")
    return draw(_mostly(st.just(frame), _broken(frame)))


def _few_names() -> st.SearchStrategy[list[str]]:
    return _mostly(st.just([]), st.lists(st.sampled_from(ENVELOPE_KEYS), max_size=2))


def _key(draw: st.DrawFn, name: str) -> str:
    """Return a key as JSON text, at times with its first character escaped."""
    if name and ord(name[0]) < 0x10000 and not draw(st.integers(0, 7)):
        return f'"\\u{ord(name[0]):04x}{json.dumps(name[1:])[1:]}'
    return json.dumps(name)


def _broken(frame: bytes) -> st.SearchStrategy[bytes]:
    """Return the frame with one byte changed, added or taken away, or cut short."""
    place = st.integers(0, max(0, len(frame) - 1))
    byte = st.one_of(st.sampled_from(b'{}[]",:\\0-.eEnN \x00\xff\xed'), st.integers(0, 255))
    return st.one_of(
        st.tuples(place, byte).map(lambda p: frame[: p[0]] + bytes([p[1]]) + frame[p[0] + 1 :]),
        st.tuples(place, byte).map(lambda p: frame[: p[0]] + bytes([p[1]]) + frame[p[0] :]),
        place.map(lambda p: frame[:p] + frame[p + 1 :]),
        place.map(lambda p: frame[:p]),
    )
