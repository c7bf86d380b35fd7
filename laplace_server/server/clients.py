"""Who is there: the clients of a server, and callbacks for those that come and go."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from laplace_server.server._core import Core
from laplace_server.server.callbacks import Callback

LOOK_S = 0.5
"""How often it is looked who has come and gone, in seconds, where a callback wants to know."""


@dataclass(frozen=True)
class ClientStats:
    """A client at one moment: all that asks from one machine under one name."""

    name: Any
    """What it calls itself, the ``from`` of its requests."""
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


class Knowing(Protocol):
    """What knows clients: the engine of a server."""

    core: Core
    command_names: list[Any]
    running_code: Any
    running_since: float

    def key_name(self, key: int) -> str: ...
    def call(
        self, name: str, callback: Callback, arguments: tuple[Any, ...]
    ) -> BaseException | None: ...


def clients_by_id(knowing: Knowing) -> dict[int, ClientStats]:
    """Who is there, in the order they came. No two clients have the same number, ever."""
    followed = defaultdict(list)
    for ledger in knowing.core.streams.ledgers():
        followed[ledger["who"], ledger["host"].decode(errors="replace")].append(ledger["stream"])
    seen = sorted(knowing.core.clients())
    now = time.time()
    return {
        number: ClientStats(
            name=(decoded := json.loads(name)),
            address=host,
            since=now - age_s,
            last_request=now - silent_s,
            last_command=str(knowing.command_names[command]),
            connections=connections,
            subscriptions=tuple(followed.get((json.dumps(decoded).encode(), host), ())),
            key=knowing.key_name(key),
        )
        for number, name, host, key, age_s, silent_s, command, connections in seen
    }


class Arrivals:
    """Tells a program who has come and gone, in the ServerLHC thread.

    It holds what was told last against what is so: whoever comes and goes while a callback runs is
    not told of, and nothing piles up.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._on_joined: Callable[[ClientStats], object] | None = None
        self._on_left: Callable[[ClientStats], object] | None = None
        self._known: dict[int, ClientStats] = {}

    def call_on_joined(self, func: Callable[[ClientStats], object] | None) -> None:
        """Call it from now on, also for who is there already."""
        self._on_joined = func
        self._begin()

    def call_on_left(self, func: Callable[[ClientStats], object] | None) -> None:
        """Call it from now on."""
        self._on_left = func
        self._begin()

    def tell(self, knowing: Knowing) -> None:
        """Call them for all that is new."""
        if self._on_joined is None and self._on_left is None:
            return
        known, self._known = self._known, clients_by_id(knowing)
        for number in known.keys() - self._known.keys():
            self._call(knowing, "on_client_left", self._on_left, known[number])
        for number in self._known.keys() - known.keys():
            self._call(knowing, "on_client_joined", self._on_joined, self._known[number])

    def _begin(self) -> None:
        self._core.jobs.look_each(LOOK_S)

    @staticmethod
    def _call(knowing: Knowing, name: str, func: Callback | None, client: ClientStats) -> None:
        if func is None:
            return
        knowing.running_since, knowing.running_code = time.monotonic(), "clients"
        try:
            knowing.call(name, func, (client,))
        finally:
            knowing.running_code = None
