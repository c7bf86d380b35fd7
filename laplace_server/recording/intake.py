"""What was received and is not in the file yet: bounded in bytes, one thread takes it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from laplace_server.client.updates import Update
from laplace_server.recording.ledger import Ended
from laplace_server.recording.part import Origin


class Batch(NamedTuple):
    """Some updates of one stream, in order, and what ended behind them."""

    origin: Origin
    info: Mapping[str, Any]
    """What INFO told of the server; {} where it told nothing."""
    updates: list[Update]
    ended: tuple[Ended, ...]
    weight: int
    """About how many bytes of memory it takes."""


class Intake:
    """Any thread puts batches in, while there is room; one takes them out."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._batches: deque[Batch] = deque()
        self._changed = threading.Condition()
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes of batches that are not released."""
        return self._held

    def wait_for_room(self, timeout: float) -> bool:
        """Wait until there is room; say whether there is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._held < self._most_bytes, timeout)

    def put(self, batch: Batch) -> None:
        """Add a batch, whether there is room for it or not."""
        with self._changed:
            self._held += batch.weight
            self._batches.append(batch)
            self._changed.notify_all()

    def take(self, timeout: float) -> Batch | None:
        """Return the oldest batch, which counts as held until it is released."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._batches), timeout)
            return self._batches.popleft() if self._batches else None

    def release(self, size: int) -> None:
        """So many bytes are not held any more."""
        with self._changed:
            self._held -= size
            self._changed.notify_all()
