"""Values of a stream as short text: arrays by their numbers, long lists by their begin."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

# Smaller arrays are told element by element.
_FEW = 8

_NARROWEST = 40


def lines_of(data: dict[str, Any], room: int) -> Iterator[tuple[str, str]]:
    """Yield path and text of each value, objects taken apart; texts may be longer than ``room``."""
    for path, value in _leaves(data, ""):
        yield printable(path), printable(value) if isinstance(value, str) else text_of(value, room)


def _leaves(data: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        # Deeper ones are rare and would fill the screen.
        if isinstance(value, dict) and value and prefix.count(".") < 2:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def text_of(value: Any, room: int) -> str:
    """Return the value as JSON, with arrays described, cut after ``room`` characters or so."""
    if isinstance(value, dict):
        pairs = ((f"{text_of(key, room)}: ", item) for key, item in value.items())
        return _joined("{}", pairs, room)
    if isinstance(value, list):
        return _joined("[]", (("", item) for item in value), room)
    if is_array(value):
        return _described(value)
    if isinstance(value, str):
        value = value[: max(room, 0) + 1]
        return printable(json.dumps(value, ensure_ascii=False))
    return json.dumps(value)


def _joined(brackets: str, items: Iterator[tuple[str, Any]], room: int) -> str:
    parts: list[str] = []
    for name, item in items:
        if room <= 0:
            parts.append("...")
            break
        parts.append(name + text_of(item, room - len(name) - 1))
        room -= len(parts[-1]) + 2
    return brackets[0] + ", ".join(parts) + brackets[1]


def printable(text: str) -> str:
    """Return the text with what would act on a terminal written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def cut(line: str) -> str:
    """Return the line as far as the terminal has room for it: whole where there is none."""
    if not sys.stdout.isatty():
        return line
    width = max(shutil.get_terminal_size().columns, _NARROWEST)
    return line if len(line) <= width else f"{line[: width - 3]}..."


def is_array(value: Any) -> bool:
    """Say whether it is a NumPy array, without importing NumPy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _described(array: Any) -> str:
    """Say dtype and shape, and the elements or their range; of complex numbers the sizes'."""
    import numpy

    text = f"{array.dtype} {' x '.join(map(str, array.shape)) or 'scalar'}"
    if array.size == 0 or array.dtype.kind not in "biufc":
        return text
    if array.size <= _FEW and array.ndim <= 1 and array.dtype.kind != "c":
        return f"{text}: {json.dumps(array.tolist())}"
    with numpy.errstate(all="ignore"):
        values = abs(array) if array.dtype.kind == "c" else array
        if values.dtype.kind == "f":
            finite = numpy.isfinite(values)
            strange = values.size - int(numpy.count_nonzero(finite))
            if strange:
                values = values[finite]
                text += f", {strange:,} not finite"
        if values.size:
            low, high = values.min().item(), values.max().item()
            # Half floats, summed as such, soon overflow.
            mean = float(values.mean(dtype="f8"))
            text += f"  min {_number(low)}  mean {_number(mean)}  max {_number(high)}"
    return text


def _number(value: float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(int(value))


def json_default(value: Any) -> Any:
    """Return plain Python of what JSON lacks: arrays as lists, complex numbers as pairs."""
    if is_array(value):
        return value.tolist()
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, bytes):
        return value.decode("ascii", "backslashreplace")
    return str(value)


def clock(timestamp: float) -> str:
    """Return the local time of day with milliseconds; the number where it is no time."""
    try:
        return f"{datetime.fromtimestamp(timestamp):%H:%M:%S.%f}"[:-3]
    except (ValueError, OverflowError, OSError):
        return f"{timestamp:g} s"


def duration(seconds: float) -> str:
    """Return a time span in the unit that suits it."""
    if abs(seconds) < 1.0:
        return f"{seconds * 1e3:,.2f} ms"
    return f"{seconds:,.1f} s"


def rate(per_second: float) -> str:
    """Return a rate; decimals where they say something."""
    return f"{per_second:,.{0 if per_second >= 1000 else 1}f}/s"
