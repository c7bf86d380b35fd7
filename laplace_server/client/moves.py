"""Whether a device that was sent somewhere has arrived, without a connection and without a clock.

What is known of it is what GET shows: "moving", a bool, or one for each axis, which not every
device has; and "positions", by axis; or the keys that the device describes as these. The first
comes late where the device's program does not call ``begin_move``, the second where it reads the
device seldom.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from laplace_server.client.requests import seconds_of
from laplace_server.description import DeviceDescription
from laplace_server.errors import NotArrived
from laplace_server.wire.moving_values import any_moves

PATIENCE_S = 2.0
"""How long a device may be seen at rest elsewhere before that counts: it may not have begun, or its
positions come later. Programs of the field set their data twice a second."""

STAY_S = 0.2
"""How long a device that does not say whether it moves has to be where it was sent."""

# From one look to the next: a twentieth of the time so far, within these.
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.05

_NOTHING = object()

# What is seen: whether it moves, and whether it is there; None: it does not say.
_Seen = tuple["bool | None", "bool | None"]

# After how many seconds the same counts, and what is wrong then. What is not here says: go on.
_VERDICTS: dict[_Seen, tuple[float, str | None]] = {
    (False, True): (0.0, None),
    (False, None): (PATIENCE_S, None),
    (False, False): (
        PATIENCE_S,
        "it is at rest (halted, refused, or 'tolerance' is too small)",
    ),
    (None, True): (STAY_S, None),
    (None, None): (PATIENCE_S, "its data says neither whether it moves nor where it is"),
}


class Arrival:
    """One move, from the answer to its SET until the device is there.

    Raises:
        TypeError: positions that are neither a list nor a dict of numbers; ``tolerance`` is no
            number; ``progress`` is not callable, or async.
        ValueError: no positions, one that is not finite, a negative ``tolerance``, a time-out
            that is not positive.
    """

    def __init__(
        self,
        address: str,
        positions: Any,
        tolerance: float,
        timeout_s: float,
        progress: Callable[[dict[str, Any]], object] | None,
    ) -> None:
        if progress is not None and not callable(progress):
            raise TypeError(f"'progress' must be callable or None, not {progress!r}.")
        if inspect.iscoroutinefunction(progress):
            raise TypeError("'progress' must not be async: nothing awaits it. It may make a task.")
        self._address = address
        self._wanted = _by_axis(positions)
        self._tolerance = _number("tolerance", tolerance)
        if self._tolerance < 0:
            raise ValueError(f"'tolerance' must not be negative, got {tolerance!r}.")
        self.timeout_s = seconds_of(timeout_s)
        self._progress = progress
        self._positions, self._moving = "positions", "moving"  # where its data has them
        self._has_moved = False  # as its "moving" said
        self._seen: _Seen = (True, None)
        self._seen_since = self._begun = -1.0

    def know(self, device: DeviceDescription) -> None:
        """Take what the device says of itself: under which keys its data has what counts."""
        if device.moved_key is not None:
            self._positions = device.moved_key
            self._moving = device.keys[device.moved_key].moving or self._moving

    def look(self, data: dict[str, Any], elapsed_s: float) -> float | None:
        """Take what GET shows, so many seconds after the SET was sent.

        Returns in how many seconds to look again; None: it has arrived.

        Raises:
            NotArrived: it is at rest elsewhere, says nothing of itself, or its time is over.
        """
        if self._begun < 0:
            self._begun = elapsed_s
        if self._progress is not None:
            self._progress(data)
        moving = self._is_moving(data.get(self._moving))
        seen = moving, self._is_there(data.get(self._positions))
        if seen != self._seen:
            self._seen, self._seen_since = seen, elapsed_s
        if seen in _VERDICTS:
            needed_s, wrong = _VERDICTS[seen]
            if moving is False and wrong is None and self._has_moved:
                needed_s = 0.0
            if elapsed_s - self._seen_since >= needed_s:
                if wrong is not None:
                    raise self._not_arrived(data, wrong)
                return None
        self._has_moved = self._has_moved or moving is True
        if elapsed_s >= self.timeout_s:
            raise self._not_arrived(data, f"its {self.timeout_s:g} s are over")
        pause_s = (elapsed_s - self._begun) / 20
        return min(max(pause_s, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S, self.timeout_s - elapsed_s)

    def unanswered(self, data: dict[str, Any]) -> NotArrived:
        """Return what to raise where SET was not answered in time, and GET shows this."""
        why = f"SET was not answered within {self.timeout_s:g} s, the device may still move"
        return self._not_arrived(data, why)

    def _not_arrived(self, data: dict[str, Any], reason: str) -> NotArrived:
        return NotArrived(self._wanted, data.get(self._positions), self._address, reason)

    def _is_moving(self, moving: Any) -> bool | None:
        """What "moving" says of the axes in question; None: nothing."""
        if not isinstance(moving, (list, Mapping)):
            return bool(moving) if isinstance(moving, (int, float)) else None
        found = [_at(moving, axis) for axis in self._wanted]
        return any(map(any_moves, found)) if _NOTHING not in found else None

    def _is_there(self, positions: Any) -> bool | None:
        """Whether the positions are those wanted; None: they do not say."""
        if _is_number(positions):
            positions = [positions]
        if not isinstance(positions, (list, Mapping)):
            return None
        return all(
            _is_number(position := _at(positions, axis))
            and abs(position - wanted) <= self._tolerance
            for axis, wanted in self._wanted.items()
        )


def _by_axis(positions: Any) -> dict[Any, float]:
    """Read what SET takes: the position of each axis that shall move."""
    if isinstance(positions, Mapping):
        items: Iterable[tuple[Any, Any]] = positions.items()
    elif isinstance(positions, Iterable) and not isinstance(positions, (str, bytes)):
        items = enumerate(positions)
    else:
        raise TypeError(
            "'positions' must be a list in axis order or a dict such as {0: 1.5}, "
            f"not {positions!r}."
        )
    wanted = {
        axis: _number(f"positions[{axis!r}]", position)
        for axis, position in items
        if position is not None
    }
    if not wanted:
        raise ValueError("'positions' must name at least one axis and its position.")
    return wanted


def _number(name: str, value: Any) -> float:
    """Raise TypeError or ValueError where it is no finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, (bool, str, bytes)) or not math.isfinite(number):
        kind = ValueError if _is_number(value) else TypeError
        raise kind(f"{name!r} must be a finite number, not {value!r}.")
    return number


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _at(values: Any, axis: Any) -> Any:
    """Return the value of an axis, by number or by name; ``_NOTHING`` where there is none."""
    if isinstance(values, Mapping):
        return values.get(str(axis), _NOTHING)  # JSON's keys are text
    try:
        index = int(axis)
    except (TypeError, ValueError):
        return _NOTHING
    return values[index] if 0 <= index < len(values) else _NOTHING
