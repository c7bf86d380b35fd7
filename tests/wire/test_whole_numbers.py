"""Whole numbers that are arguments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from laplace_server.wire.whole_numbers import INT64_MAX, INT_MAX, whole_number


@pytest.mark.parametrize("value", [1, 7, INT64_MAX, np.int8(5), np.uint64(1 << 62)])
def test_whole_ones_are_taken(value: Any) -> None:
    taken = whole_number("n", value, 1, INT64_MAX)
    assert type(taken) is int
    assert taken == value


@pytest.mark.parametrize("value", [None, True, False, 1.0, math.nan, "1", b"1", np.float64(1), [1]])
def test_what_is_none(value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        whole_number("n", value, 0)
    assert str(caught.value) == f"'n' must be int, not {type(value).__name__}."


@pytest.mark.parametrize(
    ("value", "least", "most", "or_else", "allowed"),
    [
        (-1, 0, None, None, "0 or more"),
        (0, 1, 1000, None, "from 1 to 1000"),
        (1001, 1, 1000, None, "from 1 to 1000"),
        (INT_MAX + 1, 1, INT_MAX, None, "from 1 to 2147483647"),
        (10**30, 1, INT64_MAX, None, "from 1 to 9223372036854775807"),
        (0, 1, 9, -1, "-1 or from 1 to 9"),
        (-2, 1, None, -1, "-1 or 1 or more"),
    ],
)
def test_what_is_out_of_its_range(
    value: int, least: int, most: int | None, or_else: int | None, allowed: str
) -> None:
    with pytest.raises(ValueError, match=f"^'n' must be {allowed}, not {value}\\.$"):
        whole_number("n", value, least, most, or_else=or_else)


def test_what_is_allowed_besides() -> None:
    assert whole_number("n", -1, 1, 9, or_else=-1) == -1
