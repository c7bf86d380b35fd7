"""Who is on a stage, and what is found there."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reliability.common import accounts
from reliability.common.journal import Settled, settle
from reliability.common.resources import Resources

ANY_PORT = "tcp://127.0.0.1:*"


@dataclass(frozen=True)
class Cast:
    """Who is on a stage, and how they are run."""

    server: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the device's ServerLHC."""
    address: str = ANY_PORT
    updates_per_s: float = 200.0
    """0: it has no streams."""
    data_values: int = 10
    """Floats in the device's data."""
    request_pause_s: float = 0.005
    timeout_s: float = 1.0
    """Of the witnesses' requests."""
    device_python: str = sys.executable
    witness_python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the device and the witnesses."""
    device_path: str = ""
    """Stands first on the device's import path."""
    stops: bool = True
    """False: the device cannot be stopped in order, and is killed."""
    breach: str = ""
    """A promise that the witnesses break on purpose, to see that it is told."""


@dataclass
class Found:
    """What there is to say at the end; ``faults`` in words."""

    requests: Settled = field(default_factory=Settled)
    received: int = 0
    told: int = 0
    """Updates told as lost."""
    unsaid: int = 0
    """Updates that died with a server that was killed."""
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    longest_s: float = 0.0
    """The longest time without an answer, less what the prober itself did not run of it."""
    stalled_s: float = 0.0
    """The longest time for which the prober itself did not run."""
    before: Resources | None = None
    after: Resources | None = None
    faults: list[str] = field(default_factory=list)

    def count_updates(
        self, reports: Iterable[Mapping[str, Any]], published: Mapping[int, int]
    ) -> None:
        """Add what witnesses report; ``published``: for each epoch, the number of its last."""
        for report in reports:
            for name in ("received", "told", "lost", "doubled", "out_of_order"):
                setattr(self, name, getattr(self, name) + report[name])
            self.unsaid += accounts.unsaid(report, published)
            self.faults += report["wrong"] + accounts.against_published(report, published)

    def count_requests(
        self, outcomes: Mapping[int, Path], carried_out: Counter[tuple[int, int]]
    ) -> None:
        """Add what became of requests; ``outcomes``: the file of each client."""
        for who, path in outcomes.items():
            if path.exists():
                self.requests.add(settle(who, path, carried_out))
