"""What there is in NATS, by the names of JetStream's streams."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from laplace_server.relay.connection import EngineError, NatsConnection
from laplace_server.relay.jetstream import JetStream
from laplace_server.relay.subjects import NOTES, Subject, name_of, read_subject, token

ABSENT = "NATS has no"  # what is told of something that is not there begins so

_LOOK_S = 1.0
_MOST_NAMES = 10  # that are told


async def streams_of(connection: NatsConnection, device: Subject) -> list[str]:
    """Return the names of a device's streams; raise EngineError where JetStream cannot say.

    Args:
        connection: by which to ask.
        device: the subject of any of its streams.
    """
    found = await _subjects(connection, device, f"{device.device_subject}.*")
    return [each.stream for each in found if each.device == device.device]


async def what_is_missing(connection: NatsConnection, subject: Subject) -> str:
    """Return why nothing can be read of a stream, or else which there are."""
    try:
        return await asyncio.wait_for(_what_is_missing(connection, subject), _LOOK_S)
    except (EngineError, asyncio.TimeoutError):  # as where not all may be asked for
        return f"{ABSENT} stream {subject} yet"


async def nothing_of(connection: NatsConnection, device: Subject) -> str:
    """Say that there is no stream of a device, and which devices there are.

    Raises:
        EngineError: JetStream cannot say.
    """
    site = ".".join([device.prefix, token(device.site)])
    found = await _subjects(connection, device, f"{site}.*.*")
    devices = {each.device for each in found}
    if not devices:
        return f"{ABSENT} stream of any device yet under {site}"
    return f"{ABSENT} stream of a device {device.device!r} yet; there are: {_listed(devices)}"


async def _what_is_missing(connection: NatsConnection, subject: Subject) -> str:
    if await JetStream(connection, subject).ends() is not None:
        return (
            f"{ABSENT} update of {subject}: all were older than it keeps, or too many, "
            "or none has come yet"
        )
    streams = await streams_of(connection, subject)
    if not streams:
        return await nothing_of(connection, subject)
    device = f"the device {subject.device!r}"
    return f"{ABSENT} stream {subject.stream!r} of {device} yet; there are: {_listed(streams)}"


async def _subjects(connection: NatsConnection, of: Subject, which: str) -> list[Subject]:
    """Return the subjects of streams at the site of a device.

    Args:
        connection: by which to ask.
        of: what has that site.
        which: with wildcards.
    """
    site = ".".join([of.prefix, token(of.site)])
    begin = name_of(site) + "+"
    # Mirrors have no subjects, but the names of what they mirror.
    names = await _names(connection, subject=which) or await _names(connection)
    found = []
    for name in names:
        tokens = name.removeprefix(begin).split("+")
        if name.startswith(begin) and len(tokens) == 2 and tokens[1] != NOTES:
            with contextlib.suppress(ValueError):  # somebody else's
                found.append(read_subject(".".join([site, *tokens]), of.prefix))
    return found


async def _names(connection: NatsConnection, **which: Any) -> list[str]:
    found: list[str] = []
    total = 1
    while len(found) < total:
        answer = await connection.ask("STREAM.NAMES", offset=len(found), **which)
        total = int(answer["total"])
        names = answer.get("streams") or []
        if not names:
            break
        found += names
    return found


def _listed(names: Iterable[str]) -> str:
    found = sorted(names)
    more = len(found) - _MOST_NAMES
    return ", ".join(found[:_MOST_NAMES]) + (f", and {more} more" if more > 0 else "")
