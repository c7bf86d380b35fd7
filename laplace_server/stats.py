"""What a server counts, as plain values: the result of ``ServerLHC.stats()``."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class ErrorKind(enum.IntEnum):
    """Why a request got an error, or no answer. The order is the core's."""

    NONE = 0
    MALFORMED = 1
    """Not a request: broken JSON or UTF-8, missing fields, several frames."""
    VERSION = 2
    """A protocol version that is not accepted."""
    UNKNOWN_COMMAND = 3
    PAYLOAD = 4
    """A payload without the keys its command needs."""
    HANDLER = 5
    """A handler raised, or its reply could not be written as JSON; with ``callback_errors="reply"``
    also: a callback raised."""
    NOT_PERMITTED = 6
    DATA = 7
    """Live data had become something that JSON cannot say when a GET came."""
    BUSY = 8
    """The queue of requests for Python was full."""
    STOPPING = 9
    NO_DELIMITER = 10
    """A message without an empty frame; there is no way to answer it."""
    UNROUTABLE = 11
    """The peer had gone before its reply could be sent."""
    REPLY_OVERFLOW = 12
    """The peer does not read its replies; one was dropped."""
    NO_MEMORY = 13
    LOG_DROPPED = 14
    """A debug record of a native answer was dropped; the answer itself was sent."""


@dataclass(frozen=True)
class LatencyHistogram:
    """Counts of durations, from a request's receipt to the hand-over of its reply to libzmq.

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
    """Answered by a handler in the ServerLHC thread."""


@dataclass(frozen=True)
class SubscriberStats:
    """What one subscriber of a stream was sent, and was not."""

    stream: str
    who: Any
    """The name the client gave itself."""
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
    """Whether ``publish`` waits for it where the stream's policy is "block"."""

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
    """Requests that wait: for Python, for a look at live data, or behind another one."""
    queue_bytes: int
    queue_high_water: int
    """Largest ``queue_depth`` so far."""
    parked_bytes: int
    """Replies that wait for peers that do not read."""
    stale_gets: int
    """Reads of live data answered from an older snapshot, because no look at the data could be
    made within ``refresh_timeout_ms``."""
    refreshes: int
    """Looks at live data."""
    connections: int
    """Connected peers, by libzmq's events."""
    connections_total: int
    """Connections accepted so far."""
    native_latency: LatencyHistogram
    python_latency: LatencyHistogram
    subscribers: tuple[SubscriberStats, ...] = ()
    data_error: str | None = None
    """Why the data cannot be sent, where GET answers with that error."""
    callback_errors: Mapping[str, int] = field(default_factory=dict)
    """How often each callback has raised; only those that have."""

    @classmethod
    def from_counters(
        cls,
        counters: Mapping[str, Any],
        command_names: Sequence[str],
        ledgers: Sequence[Mapping[str, Any]] = (),
        data_error: str | None = None,
        callback_errors: Mapping[str, int] | None = None,
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
            stale_gets=counters["stale_gets"],
            refreshes=counters["refreshes"],
            connections=counters["connections"],
            connections_total=counters["connections_total"],
            native_latency=LatencyHistogram(tuple(counters["native_latency"])),
            python_latency=LatencyHistogram(tuple(counters["python_latency"])),
            subscribers=tuple(map(SubscriberStats.from_ledger, ledgers)),
            data_error=data_error,
            callback_errors=dict(callback_errors or {}),
        )
