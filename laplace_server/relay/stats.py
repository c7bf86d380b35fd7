"""What a relay counts, as plain values: the result of ``NatsRelay.stats()``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class SourceStats:
    """Of one stream of one device, since the relay was started."""

    address: str
    """Of the server."""
    stream: str
    device: str | None
    """What it is called in NATS; None: the server has not said yet how it is called."""
    subject: str | None
    """Where its updates are in NATS."""
    updates: int
    """That JetStream has confirmed as stored."""
    lost: int
    """Of which JetStream has stored that they are lost."""
    messages: int
    """That JetStream has stored: packs, arrays, pieces of these, and notes on losses and ends."""
    size_bytes: int
    """Of the bodies of those."""
    epoch: int
    """Of the last that was stored; 0: none was."""
    last: int
    """Number of the last update of that epoch that was stored, or stored as lost."""
    waiting: int
    """Messages that are sent, and not known to be stored."""
    rivals: int
    """How often another relay of the same stream was first, or the store was put back in time."""
    trouble: str | None
    """Why nothing is relayed at the moment; None: it is, or nothing is known yet."""


@dataclass(frozen=True)
class RelayStats:
    """Of a relay."""

    connected: bool
    """Whether it has a connection to NATS."""
    sources: tuple[SourceStats, ...]
    """In the order in which they were given."""

    def as_json(self) -> dict[str, Any]:
        """What JSON can say."""
        return asdict(self)
