"""What a subscriber of a stream has seen so far: numbers for its display."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from laplace_server.cli.shown import rate

if TYPE_CHECKING:
    from laplace_server.stream import Subscription, Update

# The rate is that of the last seconds; of a slow stream, that of its last updates.
_RATE_S = 2.0
_RATE_UPDATES = 10
_RATE_LONGEST_S = 60.0
_LATENCY_S = 1.0


class Progress:
    """Counts updates. Its times are those of ``time.monotonic()``, in seconds.

    ``restarts`` counts the changes of the server's epoch, ``rate`` is in updates per second;
    ``latency_s`` and ``worst_s``, from acquisition to here, are the mean and the largest of about
    a second.
    """

    def __init__(self, subscription: Subscription, latest_only: bool) -> None:
        self.subscription = subscription
        self.latest_only = latest_only
        self.begun = time.monotonic()
        self.received = 0
        self.restarts = 0
        self.rate = 0.0
        self.last: Update | None = None
        self.latency_s = self.worst_s = 0.0
        self._sum = self._worst = 0.0
        self._since = 0  # updates in that sum
        self._latency_due = 0.0
        self._samples: deque[tuple[float, int]] = deque([(self.begun, 0)])
        self._epoch = subscription.epoch

    def take(self, update: Update) -> None:
        """Count an update. Called for each, so it does little."""
        self.received += 1
        self.last = update
        latency = time.time() - update.timestamp
        self._sum += latency
        self._since += 1
        if latency > self._worst or self._since == 1:
            self._worst = latency
        if update.epoch != self._epoch:
            self._epoch = update.epoch
            self.restarts += 1

    def sample(self, now: float) -> None:
        """Renew what is measured over a while; called a few times per second."""
        samples = self._samples
        if self.received > samples[-1][1]:
            samples.append((now, self.received))
        while len(samples) > 2:
            seconds, updates = now - samples[1][0], self.received - samples[1][1]
            if seconds < _RATE_S or (updates < _RATE_UPDATES and seconds < _RATE_LONGEST_S):
                break
            samples.popleft()
        (begin, before), (end, after) = samples[0], samples[-1]
        self.rate = (after - before) / (end - begin) if end > begin else 0.0
        # It has stopped: three times as long as usual nothing came.
        if (now - end) * self.rate > 3.0 and now - end > _RATE_S:
            self.rate = 0.0
        if self._since and now >= self._latency_due:
            self.latency_s, self.worst_s = self._sum / self._since, self._worst
            self._sum, self._since = 0.0, 0
            self._latency_due = now + _LATENCY_S

    @property
    def lost_word(self) -> str:
        """What missing updates are called: with ``latest_only``, they were skipped on purpose."""
        return "skipped" if self.latest_only else "lost"

    def summary(self) -> str:
        """Return the last line of a subscriber."""
        seconds = time.monotonic() - self.begun
        plural = "" if self.received == 1 else "s"
        text = (
            f"{self.received:,} update{plural} received in {seconds:,.1f} s "
            f"({rate(self.received / seconds if seconds > 0 else 0.0)}), "
            f"{self.subscription.lost:,} {self.lost_word}"
        )
        if self.restarts:
            text += f"; the server was restarted {self.restarts} time{'s'[: self.restarts - 1]}"
        return f"{text}."
