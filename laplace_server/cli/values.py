"""Command-line texts to values, and values to text."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from laplace_server.cli.shown import cut, printable


def full_address(text: str) -> str:
    """Complete ``host:port`` to ``tcp://host:port``; the client checks the rest."""
    return text if "://" in text else f"tcp://{text}"


def check_seconds(option: str, seconds: float) -> None:
    """Raise ValueError where an option's value is no time to wait."""
    if not 0 < seconds < math.inf:
        raise ValueError(f"{option} must be a positive number of seconds, not {seconds:g}.")


def read_start(text: str) -> str | int:
    """Read --start: a word, or the number of an update.

    Raises:
        ValueError: it is neither.
    """
    from laplace_server.client.starts import WORDS

    if text in WORDS:
        return text
    if not (text.isascii() and text.isdigit() and int(text[:20]) > 0):
        words = ", ".join(map(repr, WORDS))
        raise ValueError(f"--start is {words} or a number from 1 on, not {text!r}.")
    return int(text[:20])


def read_choice(option: str, text: str, choices: Sequence[str]) -> str:
    """Return the text of an option.

    Raises:
        ValueError: it is none of the choices.
    """
    if text not in choices:
        raise ValueError(f"{option} is {', '.join(choices[:-1])} or {choices[-1]}, not {text!r}.")
    return text


def read_positions(words: list[str]) -> Any:
    """Read the positions of a SET: numbers, AXIS=NUMBER pairs, or one JSON list or object.

    ``null`` in place of a number leaves that axis alone.

    Raises:
        ValueError: it is neither, or a mixture.
    """
    if len(words) == 1 and words[0].lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(words[0])
        except ValueError as error:
            raise ValueError(f"Not JSON: {words[0]} ({error})") from None
    pairs = [word.partition("=") for word in words]
    if all(equals for _, equals, _ in pairs):
        positions = {_axis(axis): _number(number) for axis, _, number in pairs}
        if len(positions) != len(pairs):
            raise ValueError("An axis is given twice.")
        return positions
    if any(equals for _, equals, _ in pairs):
        raise ValueError("Give either numbers or AXIS=NUMBER pairs, not both.")
    return [_number(word) for word in words]


def read_arguments(words: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE words: a value is JSON, or else the text that it is.

    Raises:
        ValueError: a word has no "=", or a name is given twice.
    """
    arguments: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not name or not equals:
            raise ValueError(f"{word!r} is no argument: give NAME=VALUE.")
        if name in arguments:
            raise ValueError(f"Argument {name!r} is given twice.")
        if name == "timeout_s":  # of the client's own; no method has it
            raise ValueError("How long to wait is told by --timeout.")
        try:
            arguments[name] = json.loads(text, parse_constant=_refuse_constant)
        except ValueError:
            arguments[name] = text
    return arguments


def _refuse_constant(text: str) -> None:
    # No device should get NaN or an infinity through a slip of the keyboard.
    raise ValueError(text)


def _axis(text: str) -> str:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not the index of an axis.")
    # As everywhere in the field, the keys are the indices as text.
    return str(int(text))


def _number(text: str) -> float | None:
    if text == "null":
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    # No device should get NaN or an infinity through a slip of the keyboard.
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a number.")
    return number


def as_lines(values: dict[str, Any]) -> str:
    """Return one ``key: value`` line per item, each cut to the terminal, if it goes to one."""
    lines = [
        cut(printable(f"{key}: {value if isinstance(value, str) else json.dumps(value)}"))
        for key, value in values.items()
    ]
    return "\n".join(lines) or "(no data)"
