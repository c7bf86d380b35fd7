"""One record for each shot, out of the streams of several devices.

    with (
        ClientLHC("tcp://192.168.1.20:5555") as camera,
        ClientLHC("tcp://192.168.1.21:5555") as meter,
        gather({"image": (camera, "images"), "energy": (meter, "shots")}, key="shot") as records,
    ):
        for record in records:
            print(record.key, record.updates, record.missing)

Each source is followed by a subscription of its own. What has come of a key is one record, in the
order of the keys; of what has not, the record says why. docs/gather.md has the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

from laplace_server.client.starts import Start
from laplace_server.client.stream_source import AsyncStreamSource, StreamSource
from laplace_server.gather.async_gathering import AsyncGathering
from laplace_server.gather.gathering import Gathering
from laplace_server.gather.plan import plan_of
from laplace_server.gather.record import Reason, Record, SourceStats

__all__ = ["AsyncGathering", "Gathering", "Reason", "Record", "SourceStats", "gather"]


@overload
def gather(
    sources: Mapping[str, tuple[StreamSource, str]],
    key: str | Mapping[str, str],
    *,
    wait_s: float = 1.0,
    start: Start | Mapping[str, Start] = "latest",
    max_held_bytes: int = 256 << 20,
) -> Gathering: ...


@overload
def gather(
    sources: Mapping[str, tuple[AsyncStreamSource, str]],
    key: str | Mapping[str, str],
    *,
    wait_s: float = 1.0,
    start: Start | Mapping[str, Start] = "latest",
    max_held_bytes: int = 256 << 20,
) -> AsyncGathering: ...


def gather(
    sources: Mapping[str, tuple[Any, str]],
    key: str | Mapping[str, str],
    *,
    wait_s: float = 1.0,
    start: Start | Mapping[str, Start] = "latest",
    max_held_bytes: int = 256 << 20,
) -> Gathering | AsyncGathering:
    """Put the updates of several streams together by a key, such as the number of the shot.

    Of ClientLHC sources, it is a ``Gathering``, an iterator of records; of AsyncClientLHC sources
    an ``AsyncGathering``, an asynchronous one; NatsDevice and AsyncNatsDevice of
    laplace_server.relay count as these. Both are context managers, and have ``next``, ``take``,
    ``stats`` and ``close``. Each source has a connection of its own, with the name and
    the keys of its client; closing that later leaves it alone. A source that is not there yet is
    waited for up to its client's time-out at the beginning; then the others go on without it.

    Args:
        sources: (client, stream) by name. What the sources are called in records.
        key: which value of an update's data is its key; a mapping by the names of the sources
            where they call it differently. Keys are whole numbers, which grow.
        wait_s: how long a record waits, in seconds, from its first update on.
        start: where each source begins, as for ``ClientLHC.subscribe``; or a mapping by name.
        max_held_bytes: how much records that are not taken may hold, roughly. Beyond it sources
            are held up: their updates wait at their servers.

    Raises:
        TypeError, ValueError: an argument is none of these, or the clients are of both kinds.
        ClientClosed: a client is closed.
        RemoteError: a server refuses its subscription, for a reason that does not go away. (Of
            AsyncClientLHC sources, when it begins.)
    """
    plan = plan_of(sources, key, wait_s, start, max_held_bytes)
    clients = [each.client for each in plan.sources.values()]
    if all(isinstance(client, StreamSource) for client in clients):
        return Gathering(plan)
    if all(isinstance(client, AsyncStreamSource) for client in clients):
        return AsyncGathering(plan)
    raise TypeError("the clients of a gathering must all be ClientLHC, or all AsyncClientLHC.")
