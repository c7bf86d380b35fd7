"""What device programs hand to ``set_data``: imported by the tests and by the server processes."""

from __future__ import annotations

import collections
import enum
import math
from pathlib import PurePosixPath
from typing import Any, NamedTuple


class Axis(enum.IntEnum):
    X = 7


class Unit(str, enum.Enum):
    BAR = "bar"


class Shot(NamedTuple):
    number: int
    energy_j: float


class Text(str):
    pass


class Settings(dict):  # type: ignore[type-arg]
    pass


def _nested(depth: int) -> dict[str, Any]:
    nested: dict[str, Any] = {"end": []}
    for _ in range(depth):
        nested = {"in": [nested]}
    return nested


_SHARED = [1, 2]

DATA: dict[str, Any] = {
    "initial": {"x": 1.2},
    "empty": {},
    "scalars": {"a": 0, "b": -0.0, "c": 1e-320, "d": 1.7976931348623157e308, "e": True, "f": None},
    "floats": {"x": [0.1, 1 / 3, 1e16, 1e22, 123456789.123456789, 5e-324, -1e-7, 1.0, 100.0]},
    "big integers": {"x": [2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**400]},
    "NaN and infinities": {"n": math.nan, "deep": [{"i": [math.inf]}, (-math.inf, math.nan)]},
    "NaN beside a big integer": {"n": math.nan, "i": 2**70},
    "Unicode": {"é€😀": 'é€😀\u2028\x7f\x00\x1f"\\/', "": ""},
    "lone surrogates": {"\ud800": "a\udfff", "pair": "\ud83d\ude00"},
    "integer keys": {0: 2.5, 1: {2: 3}, -5: [], 2**70: "big"},
    "float keys": {1.5: 1, 1e22: 2, -0.0: 3, math.inf: 4, math.nan: 5},
    "other keys": {True: 1, None: 2, False: 3},
    "keys that meet": {1: "integer", "1": "text", None: "neither"},
    "keys in no order": {"b": 1, "a": {"z": 1, "y": 2}, "B": 3},
    "tuples": {"t": (1, (2, ()), []), "shot": Shot(3, 0.5)},
    "subclasses": {
        Text("k"): Text("v"),
        "e": Axis.X,
        "u": Unit.BAR,
        "o": collections.OrderedDict(b=1, a=2),
        "s": Settings(a=1),
        Axis.X: "as a key",
    },
    "dict subclass": Settings(x=Settings(y=1)),
    "shared": {"a": _SHARED, "b": _SHARED, "c": {"d": _SHARED}},
    "deep": _nested(100),
    "long list": {"x": [i / 7 for i in range(20_000)]},
    "many keys": {f"channel {i}": [i, i * 0.1] for i in range(2_000)},
    "long text": {"x": "é" * 300_000},
    "looks like an envelope": {"from": "me", "cmd": "PING", "payload": {"data": {}}},
}

_CYCLE: dict[str, Any] = {}
_CYCLE["me"] = [_CYCLE]

# The original's set_data stores these and then raises TypeError: its debug log sorts the keys.
UNSORTABLE = {"other keys", "keys that meet", "subclasses"}

# The original dies at the next GET, having raised or not.
# What JSON has nothing like, and ours sends as something else.
TAKEN: dict[str, Any] = {
    "a set": {"x": {1}},
    "a complex number": {"x": [1j]},
    "a path": {"x": PurePosixPath("/data")},
}
READ: dict[str, Any] = {
    "a set": {"x": [1]},
    "a complex number": {"x": [[0.0, 1.0]]},
    "a path": {"x": "/data"},
}

UNSENDABLE: dict[str, Any] = {
    "an object": {"x": object()},
    "bytes": {"x": b"abc"},
    "tuple keys": {(1, 2): 3},
    "bytes keys": {"deep": {b"a": 1}},
    "a cycle": _CYCLE,
    "a function": {"f": len},
}

REFUSED: dict[str, Any] = {
    "a list": [1, 2],
    "None": None,
    "text": "x",
    "a number": 3.5,
    "false": False,
}

ALL: dict[str, Any] = {**DATA, **TAKEN, **UNSENDABLE, **REFUSED}
