"""What the "moving" of a device's data says, in values as JSON has them."""

from __future__ import annotations

from typing import Any


def any_moves(said: Any) -> bool:
    """Whether anything moves: by a single value, or by one of those in lists and dicts.

    A text says nothing.
    """
    if isinstance(said, dict):
        said = list(said.values())
    if isinstance(said, list):
        return any(map(any_moves, said))
    return bool(said) and not isinstance(said, str)
