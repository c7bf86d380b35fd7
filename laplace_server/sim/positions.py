"""Read the value of a SET."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard


def wanted_positions(
    positions: Any, axes: int, limits: tuple[float, float], unit: str
) -> dict[int, float]:
    """Read the value of a SET: the target of each axis that shall move.

    Raises:
        ValueError: it is neither a list nor a dict, or one of its items cannot be had.
    """
    if isinstance(positions, Mapping):
        items = list(positions.items())
    elif isinstance(positions, Sequence) and not isinstance(positions, str):
        items = list(enumerate(positions))
    else:
        raise ValueError(f"positions are a list or a dict, not {type(positions).__name__}.")
    wanted: dict[int, float] = {}
    for key, target in items:
        try:
            axis = int(key)
        except (TypeError, ValueError):
            axis = -1
        if not 0 <= axis < axes:
            raise ValueError(f"there is no axis {key!r}.")
        if target is None:
            continue
        # Also refuses NaN.
        if not is_number(target) or not limits[0] <= target <= limits[1]:
            raise ValueError(
                f"axis {axis} goes from {limits[0]:g} to {limits[1]:g} {unit}, not to {target!r}."
            )
        wanted[axis] = float(target)
    return wanted


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
