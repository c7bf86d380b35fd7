"""SUBSCRIBE: follow a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laplace_server.engine import engine_of
from laplace_server.protocol import Message, make_subscribe_reply
from laplace_server.stats import ErrorKind

if TYPE_CHECKING:
    from laplace_server.engine import Engine
    from laplace_server.server_lhc import ServerLHC

_COUNTS = ("subscription", "messages", "bytes")
_MAX_SUBSCRIPTIONS = 1024  # a peer may have several; what it forgets, the server remembers


def handle_subscribe(server: ServerLHC, message: Message, target: Any) -> None:
    """Grant a subscription; the loop begins it when the reply leaves."""
    engine = engine_of(server)
    payload = message["payload"]
    problem = _problem_of(engine, payload)
    if problem is not None:
        engine.socket.send_error(problem, ErrorKind.PAYLOAD)
        return
    name = payload["stream"]
    first, last = engine.core.stream_range(name)
    same_epoch = payload.get("epoch", engine.epoch) == engine.epoch
    next_number = _begin(payload["start"] if same_epoch else "oldest", first, last)
    engine.socket.subscribe(
        name,
        subscription=payload["subscription"],
        next_number=next_number,
        messages=payload["messages"],
        allowed_bytes=payload["bytes"],
        latest_only=bool(payload.get("latest_only")),
    )
    reply = make_subscribe_reply(
        engine.name,
        target,
        stream=name,
        epoch=engine.epoch,
        first=first,
        last=last,
        next_number=next_number,
    )
    engine.socket.send_json(reply)


def _begin(start: str | int, first: int, last: int) -> int:
    """Return the number of the first update wanted."""
    if start == "oldest":
        return first
    if start == "latest":
        return last + 1
    assert isinstance(start, int)
    return start


def _problem_of(engine: Engine, payload: Any) -> str | None:
    if not isinstance(payload, dict):
        return "The payload must be an object."
    missing = [key for key in ("stream", "start", *_COUNTS) if key not in payload]
    if missing:
        return f"Payload missing keys: {missing}."
    for key in _COUNTS:
        if not _is_count(payload[key], 32 if key == "subscription" else 64):
            return f"'{key}' must be a whole number, 0 or more, not {payload[key]!r}."
    names = engine.core.stream_names()
    if payload["stream"] == "data" and "data" not in names:
        engine.streams.declare_unless_there("data")  # from now on, what set_data sets
        names.append("data")
    if payload["stream"] not in names:
        return f"No such stream: {payload['stream']!r}. There are: {', '.join(names) or 'none'}."
    if len(engine.core.ledgers()) >= _MAX_SUBSCRIPTIONS:
        return f"There are {_MAX_SUBSCRIPTIONS} subscriptions already; no more are taken."
    start = payload["start"]
    if start in ("latest", "oldest"):
        return None
    if payload.get("epoch", engine.epoch) != engine.epoch:
        return None  # of another life of the server: what there is now is sent
    last = engine.core.stream_range(payload["stream"])[1]
    if not _is_count(start, 64) or not 1 <= start <= last + 1:
        return (
            f"'start' must be 'latest', 'oldest' or a number from 1 to {last + 1}, not {start!r}."
        )
    return None


def _is_count(value: Any, bits: int) -> bool:
    return type(value) is int and 0 <= value < 1 << bits
