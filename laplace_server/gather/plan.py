"""What is to be gathered: the arguments of ``gather``, checked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from laplace_server.client.starts import Start, begin_of
from laplace_server.client.stream_source import BaseSource
from laplace_server.errors import ClientClosed
from laplace_server.wire.whole_numbers import INT64_MAX, whole_number


class Followed(NamedTuple):
    """A source as it is asked for."""

    client: BaseSource
    stream: str
    key: str
    start: Start


class Plan(NamedTuple):
    """All sources, by name, and what is decided by time and memory."""

    sources: dict[str, Followed]
    wait_s: float
    most_bytes: int

    def __str__(self) -> str:
        return ", ".join(f"{name!r}" for name in self.sources)


def plan_of(
    sources: Any,
    key: Any,
    wait_s: Any,
    start: Any,
    max_held_bytes: Any,
) -> Plan:
    """Return the plan.

    Raises:
        TypeError, ValueError: an argument is wrong; the text says which and what it must be.
        ClientClosed: a client is closed.
    """
    pairs = {name: _pair(name, given) for name, given in _named("sources", sources).items()}
    if not pairs:
        raise ValueError("'sources' must name a source at least.")
    keys = _of_each("key", key, pairs)
    starts = _of_each("start", start, pairs)
    followed = {}
    for name, (client, stream) in pairs.items():
        if client.closed:
            raise ClientClosed(f"The client of {client.address} is closed.")
        _check_text(f"key of {name!r}", keys[name])
        begin_of(starts[name])
        followed[name] = Followed(client, stream, keys[name], starts[name])
    most_bytes = whole_number("max_held_bytes", max_held_bytes, 1, INT64_MAX)
    return Plan(followed, _seconds(wait_s), most_bytes)


def _named(argument: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        text = f"'{argument}' must be a mapping from names to (client, stream), not {given!r}."
        raise TypeError(text)
    for name in given:
        _check_text("name of a source", name)
    return dict(given)


def _pair(name: str, given: Any) -> tuple[BaseSource, str]:
    is_pair = isinstance(given, (tuple, list)) and len(given) == 2
    if not is_pair or not isinstance(given[0], BaseSource):
        raise TypeError(f"the source {name!r} must be (client, stream), not {given!r}.")
    client, stream = given
    _check_text(f"stream of {name!r}", stream)
    return client, stream


def _of_each(argument: str, given: Any, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return an argument that is one for all, or a mapping with one for each."""
    if not isinstance(given, Mapping):
        return dict.fromkeys(names, given)
    if set(given) != set(names):
        wanted = ", ".join(f"{name!r}" for name in names)
        raise ValueError(f"'{argument}' must be one for all, or one for each of {wanted}.")
    return dict(given)


def _check_text(what: str, given: Any) -> None:
    if not isinstance(given, str):
        raise TypeError(f"the {what} must be str, not {given!r}.")
    if not given:
        raise ValueError(f"the {what} must not be empty.")


def _seconds(wait_s: Any) -> float:
    if isinstance(wait_s, bool) or not isinstance(wait_s, (int, float)):
        raise TypeError(f"'wait_s' must be a number of seconds, not {wait_s!r}.")
    if not 0 <= wait_s <= sys.float_info.max:
        raise ValueError(f"'wait_s' must be 0 or more seconds, and no infinity, not {wait_s!r}.")
    return float(wait_s)
