"""Values as text, in lines of a terminal."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from laplace_server.cli.shown import clock, duration, lines_of, printable, text_of

pytestmark = pytest.mark.transports()


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((2, 3, 4)), "float64 2 x 3 x 4  min 0  mean 0  max 0"),
        (np.arange(10, dtype="u8") + (2**64 - 10), None),
        (np.array([1.5, -2.0]), "float64 2: [1.5, -2.0]"),
        (np.array(7, "i4"), "int32 scalar: 7"),
        (np.zeros((0, 5)), "float64 0 x 5"),
        (np.array([3 + 4j] * 3), "complex128 3  min 5  mean 5  max 5"),
        (np.array([True] * 9), "bool 9  min 1  mean 1  max 1"),
        (np.full(100, 60_000, "f2"), "float16 100  min 60000  mean 60000  max 60000"),
        (np.full(9, np.nan), "float64 9, 9 not finite"),
        (np.array([np.inf, 1, 2] * 3), "float64 9, 3 not finite  min 1  mean 1.5  max 2"),
        (np.array(["a"] * 9), "<U1 9"),
        (np.zeros(3, "M8[s]"), "datetime64[s] 3"),
    ],
    ids=str,
)
def test_arrays_are_described(array: Any, text: str | None) -> None:
    wanted = text or f"uint64 10  min {2**64 - 10}  mean 1.84467e+19  max {2**64 - 1}"
    assert text_of(array, 80) == wanted


def test_long_values_are_cut() -> None:
    value = {"rows": [[n] * 100 for n in range(1000)], "text": "x" * 10**6}
    text = text_of(value, 60)
    assert 60 <= len(text) < 100
    assert text.startswith('{"rows": [[0, 0, 0, ')
    assert text.endswith("...}")
    assert text_of({"a": [1, None, True, "b"]}, 60) == '{"a": [1, null, true, "b"]}'
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    assert len(text_of(deep, 60)) < 150


def test_nothing_acts_on_the_terminal() -> None:
    assert printable("é€ 2") == "é€ 2"
    assert printable("a\x1b[2J\r\n\x9b\ud800\u202e") == "a\\x1b[2J\\r\\n\\x9b\\ud800\\u202e"
    lines = list(lines_of({"k\x1b": "\x07", "l": ["\x9b"], "d": {"e": 1, "f": {}}}, 80))
    assert lines == [("k\\x1b", "\\x07"), ("l", '["\\x9b"]'), ("d.e", "1"), ("d.f", "{}")]


def test_times() -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.125", clock(1e9 + 0.125))
    assert clock(1e300) == "1e+300 s"
    assert (duration(0.0123), duration(-2.5), duration(86400)) == (
        "12.30 ms",
        "-2.5 s",
        "86,400.0 s",
    )
