"""How a device is described, and which SETs it refuses for that."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from laplace_server.description import KeyDescription, Limits, WhenMoving
from laplace_server.wire.moving_values import any_moves
from laplace_server.wire.plain_values import plain

DATA = "data"
"""The stream that set_data feeds: its keys are those of the data."""

_shown = reprlib.Repr()  # what clients sent, however long or deep


class Described:
    """The description of one device. Who changes it holds the engine's lock.

    Args:
        keys: by key of the data, or by ``(stream, key)``.
        check_limits: refuse a SET outside of the limits.
        when_moving: "follow", or "busy": refuse a SET on an axis that moves.

    Raises:
        TypeError, ValueError: one of them is wrong; the text names the key.
    """

    def __init__(self, keys: Any, check_limits: Any, when_moving: Any) -> None:
        if when_moving not in ("follow", "busy"):
            raise ValueError(f"'when_moving' must be 'follow' or 'busy', not {when_moving!r}.")
        self.moved: KeyDescription | None = None
        """Of the key that SET moves."""
        self._streams: dict[str, dict[str, KeyDescription]] = {}
        self._check_limits = bool(check_limits)
        self._when_moving: WhenMoving = when_moving
        if keys is None:
            return
        if not isinstance(keys, Mapping):
            raise TypeError(f"'describe' must be a dict of descriptions by key, not {keys!r}.")
        for key, fields in keys.items():
            stream, name = key if isinstance(key, tuple) and len(key) == 2 else (DATA, key)
            self.add(stream, name, fields)

    def add(self, stream: Any, key: Any, fields: Any) -> None:
        """Describe a key, in the place of what was said of it before.

        Raises:
            TypeError, ValueError: as the class does; nothing has changed.
        """
        if not isinstance(stream, str):
            raise TypeError(f"'stream' must be str, not {stream!r}.")
        if not isinstance(key, str):
            raise TypeError(
                f"a key that is described must be str, or a pair of strs (stream, key), not {key!r}"
            )
        try:
            described = KeyDescription.of(fields)
            self._check(stream, key, described)
        except (TypeError, ValueError) as problem:
            raise type(problem)(f"The description of {key!r}: {problem}") from None
        keys = self._streams.get(stream, {})
        # New ones: somebody may be reading the old.
        self._streams = {**self._streams, stream: {**keys, key: described}}
        of_data = self._streams.get(DATA, {}).values()
        self.moved = next((each for each in of_data if each.writable), None)

    def as_json(self) -> dict[str, Any]:
        """As INFO tells it; empty where nothing is described. Nobody else has what is returned."""
        if not self._streams:
            return {}
        told = {
            stream: {key: each.as_json() for key, each in keys.items()}
            for stream, keys in self._streams.items()
        }
        return {
            "keys": told.pop(DATA, {}),
            "streams": told,
            "check_limits": self._check_limits,
            "when_moving": self._when_moving,
        }

    @property
    def moving_key(self) -> str:
        """The key of the data that is true while the device moves."""
        moved = self.moved
        return "moving" if moved is None or moved.moving is None else moved.moving

    @property
    def checks_moves(self) -> bool:
        """Whether a SET may be refused because of what moves."""
        return self._when_moving == "busy"

    def why_outside(self, positions: Any, name: str) -> str | None:
        """Say why a SET is outside of the limits of the device of that name; None if it is not."""
        moved = self.moved
        if not self._check_limits or moved is None:
            return None
        why = _why_outside(moved, positions, name)
        return None if why is None else f"outside limits: {why}"

    def why_busy(self, positions: Any, data: Mapping[Any, Any], name: str) -> str | None:
        """Say which axis of a SET moves by the device's data; None if none does.

        An axis that the data does not tell from others moves while any of them does.
        """
        moved = self.moved
        if not self.checks_moves or moved is None or moved.moving is None:
            return None
        try:  # as clients see it
            moving = plain({moved.moving: data.get(moved.moving)})[moved.moving]
        except (TypeError, ValueError):
            moving = True  # nobody can tell
        for axis, value in _items_of(positions):
            if value is not None and _moves(moving, axis):
                what = repr(name) if axis is None else f"axis {_shown.repr(axis)} of {name!r}"
                return f"busy: {what} is moving; wait until it has arrived."
        return None

    def _check(self, stream: str, key: str, described: KeyDescription) -> None:
        if described.moving == key and stream == DATA:
            raise ValueError("'moving' must be another key of the data, not the key itself.")
        if not described.writable:
            return
        if stream != DATA:
            raise ValueError("SET moves a key of the data, so one of a stream is not writable.")
        for other, each in self._streams.get(DATA, {}).items():
            if each.writable and other != key:
                raise ValueError(
                    f"SET moves one key, and {other!r} is writable already. For others, make a "
                    "method: @server.command(...)."
                )


def _why_outside(moved: KeyDescription, positions: Any, name: str) -> str | None:
    if not isinstance(positions, (Mapping, list, int, float)) or isinstance(positions, bool):
        what = _shown.repr(positions)
        return f"positions of {name!r} are a list, an object by index, or one number, not {what}."
    for axis, value in _items_of(positions):
        limits = moved.limits_of(axis) if isinstance(axis, int) else None
        if limits is None:
            return f"{name!r} has no axis {_shown.repr(axis)}."
        if value is None:  # it is left alone
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return f"axis {axis} of {name!r} needs a number, not {_shown.repr(value)}."
        if not _is_within(limits, value):
            way = _way(limits, f" {moved.unit}" if moved.unit else "")
            return f"axis {axis} of {name!r} goes {way}, not to {_shown.repr(value)}."
    return None


def _is_within(limits: Limits, value: float) -> bool:
    try:
        return math.isfinite(value) and limits[0] <= value <= limits[1]
    except OverflowError:  # a whole number beyond all that a device has
        return False


def _way(limits: Limits, unit: str) -> str:
    low, high = (f"{end:.15g}" for end in limits)
    if math.isinf(limits[0]):
        return "to any finite position" if math.isinf(limits[1]) else f"up to {high}{unit}"
    return f"from {low}{unit} on" if math.isinf(limits[1]) else f"from {low} to {high}{unit}"


def _items_of(positions: Any) -> Iterator[tuple[Any, Any]]:
    """Axis and value of each: of a list, a dict by index, or a single number.

    Axes by other keys stay texts; None is the axis of what is none of these.
    """
    if isinstance(positions, Mapping):
        for key, value in positions.items():
            yield int(key) if _is_index(key) else key, value
    elif isinstance(positions, list):
        yield from enumerate(positions)
    else:
        is_number = isinstance(positions, (int, float)) and not isinstance(positions, bool)
        yield 0 if is_number else None, positions


def _is_index(key: Any) -> bool:
    """Whether it is written as an index is, and not "-1", "+1" or "01"."""
    is_digits = isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10
    return is_digits and (key == "0" or key[0] != "0")


def _moves(moving: Any, axis: Any) -> bool:
    """Whether an axis moves; whether any does, where plain data has nothing of that axis."""
    if isinstance(moving, dict):
        return any_moves(moving.get(str(axis), moving))
    if isinstance(moving, list) and isinstance(axis, int) and axis < len(moving):
        return any_moves(moving[axis])
    return any_moves(moving)
