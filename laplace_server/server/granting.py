"""SUBSCRIBE: who is granted a subscription, and where it begins. Runs no code of the program's."""

from __future__ import annotations

from typing import Any

from laplace_server.protocol import Message, make_subscribe_reply
from laplace_server.server._core import MAX_SUBSCRIPTIONS, ErrorKind
from laplace_server.server.context import Context
from laplace_server.server.reply_socket import ReplySocket

_COUNTS = ("subscription", "messages", "bytes")


def grant(context: Context, socket: ReplySocket, message: Message, target: Any) -> None:
    """Grant a subscription, or say why not; the loop begins it when the reply leaves."""
    payload = message["payload"]
    problem = _problem_of(context, payload)
    if problem is not None:
        socket.send_error(problem, ErrorKind.PAYLOAD)
        return
    if context.core.streams.answering() >= MAX_SUBSCRIPTIONS:
        text = f"There are {MAX_SUBSCRIPTIONS} subscriptions already; no more are taken."
        socket.send_error(text, ErrorKind.SUBSCRIPTIONS)
        return
    name = payload["stream"]
    streams = context.core.streams
    first, last = streams.range_of(name)
    same_epoch = payload.get("epoch", context.epoch) == context.epoch
    next_number = _begin(payload["start"] if same_epoch else "oldest", first, last)
    most = context.limits["max_subscriptions_per_connection"]
    socket.subscribe(
        name,
        refusal=f"This connection has {most} subscriptions already "
        "(max_subscriptions_per_connection); no more are taken.",
        subscription=payload["subscription"],
        next_number=next_number,
        messages=payload["messages"],
        allowed_bytes=payload["bytes"],
        latest_only=bool(payload.get("latest_only")),
    )
    reply = make_subscribe_reply(
        context.name,
        target,
        stream=name,
        epoch=context.epoch,
        first=first,
        last=last,
        next_number=next_number,
        age_s=streams.age_s(name),
    )
    socket.send_json(reply)


def _begin(start: str | int, first: int, last: int) -> int:
    """Return the number of the first update wanted."""
    if start == "oldest":
        return first
    if start == "newest":
        return max(first, last)  # where there is none, the next
    if start == "latest":
        return last + 1
    assert isinstance(start, int)
    return start


def _problem_of(context: Context, payload: Any) -> str | None:
    if not isinstance(payload, dict):
        return "The payload must be an object."
    missing = [key for key in ("stream", "start", *_COUNTS) if key not in payload]
    if missing:
        return f"Payload missing keys: {missing}."
    for key in _COUNTS:
        if not _is_count(payload[key], 32 if key == "subscription" else 64):
            return f"'{key}' must be a whole number, 0 or more, not {payload[key]!r}."
    names = context.core.streams.names()
    if payload["stream"] == "data" and "data" not in names:
        context.streams.declare_unless_there("data")  # from now on, what set_data sets
        names.append("data")
    if payload["stream"] not in names:
        return f"No such stream: {payload['stream']!r}. There are: {', '.join(names) or 'none'}."
    start = payload["start"]
    if start in ("latest", "newest", "oldest"):
        return None
    if payload.get("epoch", context.epoch) != context.epoch:
        return None  # of another life of the server: what there is now is sent
    last = context.core.streams.range_of(payload["stream"])[1]
    is_number = _is_count(start, 64) and start > 0
    if is_number and start <= last + 1:
        return None
    if is_number and "epoch" in payload:
        # Who goes on behind an update gave that one's number, not the next.
        return (
            f"'start' must be (epoch, number) of an update there was, not ({context.epoch}, "
            f"{start - 1}): the last of {payload['stream']!r} in this epoch is number {last}."
        )
    return (
        "'start' must be 'latest', 'newest', 'oldest' or a number from 1 to "
        f"{last + 1}, not {start!r}."
    )


def _is_count(value: Any, bits: int) -> bool:
    return type(value) is int and 0 <= value < 1 << bits
