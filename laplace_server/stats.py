"""What a server counts, as plain values: the result of ``ServerLHC.stats()``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

from laplace_server.server._core import ErrorKind as ErrorKind
from laplace_server.server._core import Refusal as Refusal
from laplace_server.server.clients import ClientStats as ClientStats
from laplace_server.server.clients import Knowing, clients_by_identity


@dataclass(frozen=True)
class LatencyHistogram:
    """Counts of durations, from a request's receipt to the hand-over of its reply to the network.

    ``counts[4 * k + j]`` holds durations of ``(4 + j) * 2**k`` ns up to ``(5 + j) * 2**k`` ns, so
    any quantile is known to within 25 %.
    """

    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """Number of durations."""
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """Upper bound (s) of the bucket that holds the quantile ``q`` (0 to 1); 0.0 when empty.

        Raises:
            ValueError: ``q`` is not between 0 and 1.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"q must be between 0 and 1, not {q}")
        wanted = q * self.total
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return upper_bound(bucket)
        return 0.0

    def as_json(self) -> dict[str, Any]:
        """What JSON can say: the counts, their total, and the quantiles that most ask for, in s."""
        return {
            "counts": list(self.counts),
            "total": self.total,
            "p50_s": self.quantile(0.5),
            "p99_s": self.quantile(0.99),
        }


def upper_bound(bucket: int) -> float:
    """Upper bound (s) of a bucket of ``LatencyHistogram.counts``."""
    octave, quarter = divmod(bucket, 4)
    return float((5 + quarter) << octave) * 1e-9


@dataclass(frozen=True)
class CommandStats:
    """Answers sent to one command."""

    native: int
    """Answered in the loop, without Python."""
    python: int
    """Answered by way of Python: in the ServerLHC thread, or, GET ARRAYS, SUBSCRIBE and STATS, in
    the refresher."""


@dataclass(frozen=True)
class SubscriberStats:
    """What one subscriber of a stream was sent, and was not."""

    stream: str
    who: Any
    """What the subscriber calls itself: as its client, unless it was given a name of its own."""
    first: int
    """Number of the update it began with."""
    sent: int
    """Updates sent; first + sent + lost is the number of the next."""
    lost: int
    """Updates that left the history before it took them; with ``latest_only``, skipped."""
    lag: int
    """Updates published and not sent yet."""
    credit_messages: int
    """Messages that may be sent before it allows more."""
    credit_bytes: int
    confirmed: int
    """Number of the update it waits for, as it said last: it has what was sent before."""
    waited_for: bool
    """Whether ``publish`` waits for it where the stream's policy is "block"; with "gap" it tells
    nothing. Not once it was behind for ``block_timeout_s``, until it subscribes again."""

    @classmethod
    def from_ledger(cls, ledger: Mapping[str, Any]) -> SubscriberStats:
        """Tell what the core wrote down; read while it writes, numbers may be a message apart."""
        return cls(
            stream=ledger["stream"],
            who=json.loads(ledger["who"]),
            first=ledger["first"],
            sent=ledger["sent"],
            lost=ledger["lost"],
            lag=max(0, ledger["last"] + 1 - ledger["next"]),
            credit_messages=max(0, ledger["allowed_messages"] - ledger["messages"]),
            credit_bytes=max(0, ledger["allowed_bytes"] - ledger["bytes"]),
            confirmed=ledger["confirmed"],
            waited_for=ledger["waited_for"],
        )


@dataclass(frozen=True)
class Running:
    """What runs in the ServerLHC thread, where others that ask for Python wait, or in HALT's."""

    what: str
    """A command, in parentheses the callback that it has called."""
    seconds: float
    """For how long its request has been handled."""


class Counting(Knowing, Protocol):
    """What counts: the engine of a server."""

    callback_errors: dict[str, int]

    def denials(self) -> dict[str, dict[str, int]]: ...
    def uptime_s(self) -> float: ...
    def at_work(self) -> tuple[str, float] | None: ...


@dataclass(frozen=True)
class ServerStats:
    """A snapshot of a server's counters. All of them start at 0 with the server."""

    commands: Mapping[str, CommandStats]
    """By command; "" counts what names no known command."""
    errors: Mapping[ErrorKind, int]
    bytes_in: int
    """Of message bodies and envelopes, without ZeroMQ's framing."""
    bytes_out: int
    """Of reply bodies."""
    queue_depth: int
    """Requests that wait: for Python, for a refresh of live data, or behind another one."""
    queue_bytes: int
    queue_high_water: int
    """Largest ``queue_depth`` so far."""
    parked_bytes: int
    """Replies that wait: for peers that do not read, or for the answer to an earlier request of the
    same peer. Each counts as 1 KiB more than its bytes, the memory that goes with it."""
    waiting_bytes: int
    """Bytes on their way out to connections that take no more for now, in all."""
    stale_gets: int
    """Reads of live data answered from an older snapshot, because no refresh could be made within
    ``refresh_timeout_ms``."""
    refreshes: int
    """New texts made of live data."""
    connections: int
    """Connections that there are."""
    connections_total: int
    """Connections accepted so far."""
    refused: Mapping[Refusal, int]
    """Connections refused or closed, by reason; with transport "libzmq", none is counted."""
    native_latency: LatencyHistogram
    python_latency: LatencyHistogram
    subscribers: tuple[SubscriberStats, ...] = ()
    data_error: str | None = None
    """Why the data cannot be sent, where GET answers with that error."""
    callback_errors: Mapping[str, int] = field(default_factory=dict)
    """How often each callback has raised; only those that have."""
    not_permitted: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Requests refused because of the role of who asked, by role and command; only those that were.
    The role "anonymous" is that of clients without a key, the command "" any unknown one. Requests
    that waited when the key of who had asked was removed are among them."""
    uptime_s: float = 0.0
    """Seconds since the server was started; 0.0 before."""
    running: Running | None = None
    """The request that the ServerLHC thread is at, or HALT with its callback, whichever has run for
    longer; None while neither is."""

    clients: tuple[ClientStats, ...] = ()
    """Who is there, in the order they came."""
    clients_left_out: int = 0
    """How often somebody asked who is not among them: there were 4096, or the name is too long."""

    @classmethod
    def of(cls, counting: Counting) -> ServerStats:
        """Take a snapshot of what a server's engine counts."""
        running = counting.at_work()
        return cls.from_counters(
            counting.core.counters(),
            counting.command_names,
            counting.core.streams.ledgers(),
            counting.core.documents.data_error(),
            counting.callback_errors,
            counting.denials(),
            counting.uptime_s(),
            None if running is None else Running(*running),
            tuple(clients_by_identity(counting).values()),
            counting.core.clients_left_out(),
        )

    def as_json(self) -> dict[str, Any]:
        """The same as plain dicts, lists, texts and numbers; kinds and reasons by their names."""
        return {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "commands": {str(name): asdict(counts) for name, counts in self.commands.items()},
            "errors": {kind.name: count for kind, count in self.errors.items()},
            "refused": {reason.name: count for reason, count in self.refused.items()},
            "native_latency": self.native_latency.as_json(),
            "python_latency": self.python_latency.as_json(),
            "subscribers": [asdict(each) for each in self.subscribers],
            "clients": [asdict(each) for each in self.clients],
            "running": None if self.running is None else asdict(self.running),
        }

    @classmethod
    def from_counters(
        cls,
        counters: Mapping[str, Any],
        command_names: Sequence[str],
        ledgers: Sequence[Mapping[str, Any]] = (),
        data_error: str | None = None,
        callback_errors: Mapping[str, int] | None = None,
        not_permitted: Mapping[str, Mapping[str, int]] | None = None,
        uptime_s: float = 0.0,
        running: Running | None = None,
        clients: tuple[ClientStats, ...] = (),
        clients_left_out: int = 0,
    ) -> ServerStats:
        """Name what the core counted by number; ``command_names[i]`` belongs to index i."""
        return cls(
            commands={
                name: CommandStats(counters["native"][index], counters["python"][index])
                for index, name in enumerate(command_names)
            },
            errors={
                kind: counters["errors"][kind] for kind in ErrorKind if kind is not ErrorKind.NONE
            },
            bytes_in=counters["bytes_in"],
            bytes_out=counters["bytes_out"],
            queue_depth=counters["pending"],
            queue_bytes=counters["pending_bytes"],
            queue_high_water=counters["pending_high_water"],
            parked_bytes=counters["parked_bytes"],
            waiting_bytes=counters["waiting_bytes"],
            stale_gets=counters["stale_gets"],
            refreshes=counters["refreshes"],
            connections=counters["connections"],
            connections_total=counters["connections_total"],
            refused={reason: counters["refused"][reason] for reason in Refusal},
            native_latency=LatencyHistogram(tuple(counters["native_latency"])),
            python_latency=LatencyHistogram(tuple(counters["python_latency"])),
            subscribers=tuple(map(SubscriberStats.from_ledger, ledgers)),
            data_error=data_error,
            callback_errors=dict(callback_errors or {}),
            not_permitted=dict(not_permitted or {}),
            uptime_s=uptime_s,
            running=running,
            clients=clients,
            clients_left_out=clients_left_out,
        )
