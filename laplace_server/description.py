"""What a device says of itself: its keys, their units and limits, and its methods.

A server is given these as dicts (``ServerLHC(describe={...})``), INFO tells them as JSON, and a
client's ``describe()`` returns them as the objects here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any, Literal, TypeAlias

Limits: TypeAlias = tuple[float, float]
"""Lowest and highest value; infinite where there is none."""

WhenMoving: TypeAlias = Literal["follow", "busy"]
"""What becomes of a SET on an axis that moves: the later one counts, or it is refused."""

_UNLIMITED: Limits = (-math.inf, math.inf)
_NUMPYS_NAMES = {bool: "bool", int: "int64", float: "float64", complex: "complex128", str: "str"}


@dataclass(frozen=True)
class KeyDescription:
    """One key of the data or of a stream; what is None was not said.

    Args:
        dtype: NumPy's name of the type of each value, such as "float64", "uint16", "str". A dtype
            of NumPy's, or Python's bool, int, float, complex or str, is taken as its name.
        shape: of the value, ``()`` for a single one; None for a length that may be any.
        unit: any text; one that Pint understands ("mm", "mJ/cm^2") serves most programs.
        limits: ``(lowest, highest)`` for all axes, or a list of such pairs, one for each axis, in
            the key's unit. None is no limit on that side.
        writable: whether SET moves it.
        text: what it is, for people.
        moving: the key of the data that is true while this one moves: one bool, or one for each
            axis, in a list or a dict by axis.

    Raises:
        TypeError, ValueError: one of them is wrong; the text says what it has to be.
    """

    dtype: str | None = None
    shape: tuple[int | None, ...] | None = None
    unit: str | None = None
    limits: tuple[Limits, ...] | None = None
    """One pair for all axes, or one for each."""
    writable: bool = False
    text: str = ""
    moving: str | None = None

    def __post_init__(self) -> None:
        keep = object.__setattr__
        keep(self, "dtype", _checked_dtype(self.dtype))
        keep(self, "shape", _checked_shape(self.shape))
        keep(self, "limits", _checked_limits(self.limits))
        for name, kind in (("unit", str), ("writable", bool), ("text", str), ("moving", str)):
            value = getattr(self, name)
            if not isinstance(value, kind) and not (value is None and name in ("unit", "moving")):
                raise TypeError(f"{name!r} must be {kind.__name__}, not {value!r}.")
        if self.moving == "":
            raise ValueError("'moving' must be the name of a key of the data, not ''.")
        pairs = 1 if self.limits is None else len(self.limits)
        if self.axes is not None and pairs not in (1, self.axes):
            raise ValueError(
                f"'limits' has {pairs} pairs for {self.axes} axes: give one each, or one for all."
            )

    @classmethod
    def of(cls, value: Any) -> KeyDescription:
        """Make one of a mapping with the names above; one that is made already is returned.

        Raises:
            TypeError, ValueError: it is none.
        """
        if isinstance(value, KeyDescription):
            return value
        if not isinstance(value, Mapping):
            raise TypeError(f"a description is a dict such as {{'unit': 'mm'}}, not {value!r}.")
        for name in value:
            if name not in _FIELDS:
                raise TypeError(f"there is no field {name!r}, only {', '.join(_FIELDS)}.")
        return cls(**value)

    @property
    def axes(self) -> int | None:
        """How many axes it has, if ``shape`` or ``limits`` say so."""
        if self.shape is not None and len(self.shape) == 1 and self.shape[0] is not None:
            return self.shape[0]
        return len(self.limits) if self.limits is not None and len(self.limits) > 1 else None

    def limits_of(self, axis: int) -> Limits | None:
        """Lowest and highest value of an axis; None where there is no such axis."""
        if axis < 0 or (self.axes is not None and axis >= self.axes):
            return None
        if self.limits is None:
            return _UNLIMITED
        return self.limits[0] if len(self.limits) == 1 else self.limits[axis]

    def as_json(self) -> dict[str, Any]:
        """As INFO tells it: what was said, infinite limits as None."""
        told = {name: getattr(self, name) for name in _FIELDS}
        if self.shape is not None:
            told["shape"] = list(self.shape)
        if self.limits is not None:
            pairs = [[end if math.isfinite(end) else None for end in pair] for pair in self.limits]
            told["limits"] = pairs[0] if len(pairs) == 1 else pairs
        return {name: value for name, value in told.items() if value not in (None, False, "")}


_FIELDS = tuple(each.name for each in fields(KeyDescription))


@dataclass(frozen=True)
class ArgumentDescription:
    """One argument of a method."""

    name: str
    type: str = "any"
    """As it is written in Python: "int", "list[float]", "str | None", "'slow' | 'fast'"."""
    required: bool = True
    default: Any = None
    """What it is where it is left out."""

    def __str__(self) -> str:
        written = f"{self.name}: {self.type}"
        return written if self.required else f"{written} = {self.default!r}"


@dataclass(frozen=True)
class MethodDescription:
    """What a client can ``call``."""

    name: str
    arguments: tuple[ArgumentDescription, ...] = ()
    text: str = ""
    """What it does, for people."""

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.arguments))})"

    def as_json(self) -> dict[str, Any]:
        """As INFO tells it, under the method's name."""
        told = []
        for each in self.arguments:
            default = {} if each.required else {"default": each.default}
            told.append({"name": each.name, "type": each.type, **default})
        return {"text": self.text, "arguments": told}


@dataclass(frozen=True)
class DeviceDescription:
    """A device, as ``ClientLHC.describe()`` returns it."""

    name: str
    device: str
    """Kind of device, such as "MOTOR"."""
    freedom: int
    """Degrees of freedom."""
    keys: Mapping[str, KeyDescription] = field(default_factory=dict)
    """Of the data, and so of the stream "data"."""
    streams: Mapping[str, Mapping[str, KeyDescription]] = field(default_factory=dict)
    """Of further streams, by the stream's name."""
    methods: Mapping[str, MethodDescription] = field(default_factory=dict)
    check_limits: bool = False
    """Whether a SET outside of the limits is refused."""
    when_moving: WhenMoving = "follow"
    inferred: bool = False
    """Whether the server describes nothing, so that ``keys`` is no more than what its data looks
    like: no units, no limits, and ``writable`` is a guess."""

    @property
    def moved_key(self) -> str | None:
        """The key that SET moves, if it is known."""
        return next((key for key, each in self.keys.items() if each.writable), None)


def _checked_dtype(dtype: Any) -> str | None:
    if dtype is None:
        return None
    if isinstance(dtype, type):
        name: Any = _NUMPYS_NAMES.get(dtype, dtype.__name__ if _is_numpys(dtype) else None)
    else:
        name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None)
    if not isinstance(name, str) or not name:
        raise TypeError(f"'dtype' must be a name such as 'float64', or a dtype, not {dtype!r}.")
    return name


def _is_numpys(kind: type) -> bool:
    return kind.__module__ == "numpy"


def _checked_shape(shape: Any) -> tuple[int | None, ...] | None:
    if shape is None:
        return None
    if isinstance(shape, str) or not isinstance(shape, Sequence):
        raise TypeError(f"'shape' must be a tuple such as (480, 640), not {shape!r}.")
    for length in shape:
        if length is not None and (isinstance(length, bool) or not isinstance(length, int)):
            raise TypeError(f"'shape' has whole numbers, or None for any, not {length!r}.")
        if length is not None and length < 0:
            raise ValueError(f"'shape' has no negative lengths, such as {length}.")
    return tuple(shape)


def _checked_limits(limits: Any) -> tuple[Limits, ...] | None:
    if limits is None:
        return None
    if isinstance(limits, str) or not isinstance(limits, Sequence) or not limits:
        raise TypeError(
            f"'limits' must be (lowest, highest), or a list of such pairs, not {limits!r}."
        )
    if any(isinstance(each, Sequence) for each in limits):
        return tuple(_checked_pair(pair) for pair in limits)
    return (_checked_pair(limits),)


def _checked_pair(pair: Any) -> Limits:
    if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise TypeError(f"'limits' has pairs (lowest, highest), not {pair!r}.")
    ends = []
    for end, unlimited in zip(pair, _UNLIMITED, strict=True):
        if end is None:
            end = unlimited
        elif isinstance(end, bool) or not isinstance(end, Real):
            raise TypeError(f"'limits' has numbers, or None for no limit, not {end!r}.")
        try:
            ends.append(float(end))
        except OverflowError:
            raise ValueError(
                "'limits' has a number that is beyond all of float64; None is no limit."
            ) from None
    low, high = ends
    if not low <= high:  # also NaN
        raise ValueError(f"'limits': the lowest must not be above the highest, as in {pair!r}.")
    if low == math.inf or high == -math.inf:
        raise ValueError(
            f"'limits' leaves no finite value, as in {pair!r}; (None, None) is no limit at all."
        )
    return low, high
