"""Who is there: the clients of a server, and callbacks for those that come and go."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from laplace_server.server._core import Core
from laplace_server.server.callbacks import Callback

LOOK_S = 0.5
"""How often it is looked who has come and gone, in seconds, where a callback wants to know."""


@dataclass(frozen=True)
class ClientStats:
    """A client at one moment: all that asks from one machine under one name."""

    name: Any
    """What it calls itself, the ``from`` of its requests; a number beyond floats is text."""
    address: str
    """Its machine's, without a port; empty with transport "libzmq"."""
    since: float
    """When it came; seconds since 1970."""
    last_request: float
    """When it asked last, or said a word on a stream; seconds since 1970."""
    last_command: str
    """What it asked last; empty for an unknown command."""
    connections: int
    """Those by which it asked last; 0 where it has closed them or shares one, and with "libzmq"."""
    subscriptions: tuple[str, ...]
    """The streams that it follows, one as often as it has subscriptions to it."""
    key: str
    """The name of its key; empty without one."""


Identity = tuple[str, str, int]
"""By what clients are told apart: the name as this side writes it in JSON, the host, the key."""


class Knowing(Protocol):
    """What knows clients: the engine of a server."""

    core: Core
    stopped: bool
    command_names: list[Any]
    running_code: Any
    running_since: float

    def key_name(self, key: int) -> str: ...
    def call(
        self, name: str, callback: Callback, arguments: tuple[Any, ...]
    ) -> BaseException | None: ...


def clients_by_identity(knowing: Knowing) -> dict[Identity, ClientStats]:
    """Who is there, in the order they came."""
    followed = defaultdict(list)
    for ledger in knowing.core.streams.ledgers():
        who = ledger["who"].decode(), ledger["host"].decode(errors="replace"), ledger["key"]
        followed[who].append(ledger["stream"])
    seen = sorted(knowing.core.clients())
    now = time.time()
    there: dict[Identity, ClientStats] = {}
    for _, text, host, key, age_s, silent_s, command, connections in seen:
        name = json.loads(text)
        identity = json.dumps(name), host, key
        if "Infinity" in identity[0]:
            name = json.loads(text, parse_float=_number)
        client = ClientStats(
            name=name,
            address=host,
            since=now - age_s,
            last_request=now - silent_s,
            last_command=str(knowing.command_names[command]),
            connections=connections,
            subscriptions=tuple(followed.get(identity, ())),
            key=knowing.key_name(key),
        )
        before = there.get(identity)
        there[identity] = client if before is None else _together(before, client)
    return there


def _number(text: str) -> float | str:
    """A number of a name; as text where it is beyond floats, for which JSON has no word."""
    number = float(text)
    return number if math.isfinite(number) else text


def _together(one: ClientStats, other: ClientStats) -> ClientStats:
    """The core tells names apart by their bytes, and JSON has several for one name."""
    newest = max(one, other, key=lambda client: client.last_request)
    return replace(
        newest,
        since=min(one.since, other.since),
        connections=one.connections + other.connections,
    )


class Arrivals:
    """Tells a program who has come and gone, in the ServerLHC thread.

    It holds what was told last against what is so: whoever comes and goes while a callback runs is
    not told of, and nothing piles up.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._on_joined: Callable[[ClientStats], object] | None = None
        self._on_left: Callable[[ClientStats], object] | None = None
        self._known: dict[Identity, ClientStats] = {}
        self._introduced: Callable[[ClientStats], object] | None = None  # to who was there already

    def call_on_joined(self, func: Callable[[ClientStats], object] | None) -> None:
        """Call it from now on, also for who is there already."""
        self._on_joined = func
        self._begin()

    def call_on_left(self, func: Callable[[ClientStats], object] | None) -> None:
        """Call it from now on."""
        self._on_left = func
        self._begin()

    def tell(self, knowing: Knowing) -> None:
        """Call them for all that is new, those that have gone first, until the server ends."""
        on_joined = self._on_joined
        anew, self._introduced = on_joined is not self._introduced, on_joined
        if on_joined is None and self._on_left is None:
            self._known = {}
            return
        known, self._known = self._known, clients_by_identity(knowing)
        left = [client for who, client in known.items() if who not in self._known]
        joined = [client for who, client in self._known.items() if anew or who not in known]
        for client in left:
            self._call(knowing, "on_client_left", self._on_left, client)
        for client in joined:
            if self._on_joined is on_joined:  # else the new one is told of all, the next time
                self._call(knowing, "on_client_joined", on_joined, client)

    def _begin(self) -> None:
        self._core.jobs.look_each(LOOK_S)

    @staticmethod
    def _call(knowing: Knowing, name: str, func: Callback | None, client: ClientStats) -> None:
        if func is None or knowing.stopped:
            return
        knowing.running_since, knowing.running_code = time.monotonic(), "clients"
        try:
            knowing.call(name, func, (client,))
        finally:
            knowing.running_code = None
