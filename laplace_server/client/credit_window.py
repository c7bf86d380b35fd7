"""How much a server may send a subscriber before it hears from it: the window that credit opens.

Few messages are best: where updates come quickly, many of them share one, and who takes them slowly
has little before him that has grown old. But each message allows another one only a round trip
later, so over a long path few messages would be few per second. So the window has room for some
more than come in a round trip. Its bytes do not change.
"""

from __future__ import annotations

import math
import time
from typing import NamedTuple

FEW = 16  # messages

# Credit is given when half of the window is used up, and the other half must last for a round trip.
ROUND_TRIPS = 3

TICK_S = time.get_clock_info("monotonic").resolution  # 15.6 ms on some


class Window(NamedTuple):
    """The window of one connection, and what was measured to find it.

    A round begins with a credit and ends with one that is given after a message has come which the
    server could send only because of the first: so it lasts for a round trip at least.
    """

    messages: int
    size: int
    """Bytes."""
    round_trip_s: float = math.inf
    """No more than this."""
    since: float = 0.0
    """When the round began."""
    taken: int = 0
    """Messages that had come by then."""
    allowed: int = 0
    """Messages that the server could send before it heard of it."""

    def asked(self, now: float) -> Window:
        """Return it for a connection that begins now."""
        return self._replace(since=now, allowed=self.messages)

    def granted(self, now: float) -> Window:
        """Return it for a subscription that is granted now: the first round trip is over."""
        if not math.isinf(self.round_trip_s):
            return self  # told before it was interrupted
        return self._replace(round_trip_s=now - self.since + TICK_S, since=now)

    def adapt(self, now: float, taken: int, allowed: int) -> Window:
        """Return it for a credit that is given now; ``allowed``: messages, up to now."""
        if taken <= self.allowed:
            return self
        lasted_s = now - self.since + TICK_S
        round_trip_s = min(self.round_trip_s, lasted_s)
        came = (taken - self.taken) * round_trip_s / lasted_s  # in a round trip
        messages = max(FEW, math.ceil(ROUND_TRIPS * came))
        return Window(messages, self.size, round_trip_s, now, taken, allowed)
