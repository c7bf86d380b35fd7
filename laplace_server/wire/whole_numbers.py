"""Whole numbers that are arguments."""

from __future__ import annotations

import operator
from typing import Any

INT_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1


def whole_number(
    name: str, value: Any, least: int, most: int | None = None, *, or_else: int | None = None
) -> int:
    """Return an argument as an int; ``or_else`` is allowed beside its range.

    Raises:
        TypeError: it is no whole number. True and False are none.
        ValueError: it is out of its range.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"'{name}' must be int, not {type(value).__name__}.")
    if number != or_else and (number < least or (most is not None and number > most)):
        allowed = "" if or_else is None else f"{or_else} or "
        allowed += f"{least} or more" if most is None else f"from {least} to {most}"
        raise ValueError(f"'{name}' must be {allowed}, not {number}.")
    return number
