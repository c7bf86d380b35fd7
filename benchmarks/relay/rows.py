"""What is measured of the relay."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from benchmarks.common.bars import OURS
from benchmarks.common.suite import Peer, Row


@dataclass(frozen=True)
class RelayPeer(Peer):
    """The relay, by that name."""

    package: ClassVar = "benchmarks.relay"

    def load(self) -> ModuleType:
        """Raise ImportError also where there is no NATS server."""
        from benchmarks.relay.broker import program

        program()
        return super().load()

    def why_not(self, work: object) -> str:
        """Say what is not installed."""
        try:
            self.load()
        except ImportError as error:
            return f"not installed here: {error}"
        return ""


PEERS = {OURS: RelayPeer(OURS, "relaying", "#c1440e")}


@dataclass(frozen=True)
class RelayRow(Row):
    """A device, the relay, a NATS server and a reader, each a process of its own."""

    peers: tuple[str, ...] = (OURS,)
    arrays: bool = False
    """Each update holds an array of 1 MiB."""
    per_s: float = 0.0
    """How many are published each second; 0: as many as the relay takes."""
    sync_always: bool = False
    """JetStream has each message on the disk before it says so."""


ROWS = [
    RelayRow("relay_small", "relay: small updates", None, "flood", short=True),
    RelayRow("relay_images", "relay: 1 MiB arrays", None, "flood", arrays=True),
    RelayRow("relay_1khz", "relay: small updates at 1 kHz", None, "paced", per_s=1000),
    RelayRow(
        "relay_small_synced",
        "relay: small updates, sync_interval: always",
        None,
        "flood",
        sync_always=True,
    ),
    RelayRow(
        "relay_images_synced",
        "relay: 1 MiB arrays, sync_interval: always",
        None,
        "flood",
        arrays=True,
        sync_always=True,
    ),
    RelayRow(
        "relay_1khz_synced",
        "relay: small updates at 1 kHz, sync_interval: always",
        None,
        "paced",
        per_s=1000,
        sync_always=True,
    ),
]
