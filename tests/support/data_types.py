"""Values of many types, and how they are compared with what was read."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
import os
from collections import namedtuple
from typing import Any

from laplace_server.server import _core

DEEPEST = 250


Point = namedtuple("Point", "x y")


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Number(enum.IntEnum):
    TWO = 2


class Flags(enum.IntFlag):
    A = 1
    B = 4


class Word(str, enum.Enum):
    YES = "yes"


@dataclasses.dataclass
class Pose:
    x: float
    names: list[str]


@dataclasses.dataclass(frozen=True)
class Slotted:
    __slots__ = ("a",)
    a: int


class Text(str):
    def __str__(self) -> str:
        return "not this"


class Whole(int):
    def __repr__(self) -> str:
        return "not this"


class Real(float):
    def __repr__(self) -> str:
        return "not this"


class Items(list):  # type: ignore[type-arg]
    pass


class Row(tuple):  # type: ignore[type-arg]
    __slots__ = ()


class PathOfBytes(os.PathLike):  # type: ignore[type-arg]
    def __fspath__(self) -> bytes:
        return b"/data"


class East(datetime.tzinfo):
    """A tzinfo in Python: asked while the data is encoded."""

    def utcoffset(self, when: datetime.datetime | None) -> datetime.timedelta:
        return datetime.timedelta(hours=2)

    def dst(self, when: datetime.datetime | None) -> datetime.timedelta:
        return datetime.timedelta(0)

    def tzname(self, when: datetime.datetime | None) -> str:
        return "east"


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: types count, and NaN equals NaN."""
    if isinstance(left, float) and isinstance(right, float):
        signs = math.copysign(1, left) == math.copysign(1, right)
        return (math.isnan(left) and math.isnan(right)) or (left == right and signs)
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def as_read(value: Any) -> Any:
    """What a client reads from the text that the server would send."""
    return json.loads(_core.encode_json({"value": value}))["value"]
