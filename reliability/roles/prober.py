"""Asks PING all the time and tells how long there was no answer.

Settings: ``address``, ``keys``, ``pause_s`` between two questions.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from reliability.common.lateness import Lateness
from reliability.common.program import commands, say
from reliability.common.setting import security_of_client

TIMEOUT_S = 0.5


class Prober(threading.Thread):
    """Times are in seconds."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(name="prober", daemon=True)
        self.asked = self.answered = 0
        self.longest_s = 0.0
        """From a question to its answer, or from the first that got none to the next answer; less
        what this process itself did not run of it."""
        self.lateness = Lateness()
        self.first_answer = threading.Event()
        self._settings = settings
        self._over = threading.Event()

    def run(self) -> None:
        """Ask until it is over."""
        from laplace_server.client import ClientLHC
        from laplace_server.errors import LaplaceError

        pause_s = self._settings["pause_s"]
        security = security_of_client(self._settings["keys"])
        waiting_since: float | None = None
        late_before_s = 0.0
        with (
            self.lateness,
            ClientLHC(
                self._settings["address"], "prober", timeout_s=TIMEOUT_S, security=security
            ) as client,
        ):
            while not self._over.is_set():
                self.asked += 1
                if waiting_since is None:
                    waiting_since, late_before_s = time.monotonic(), self.lateness.total_s
                try:
                    client.ping()
                except LaplaceError:
                    pass
                else:
                    self.answered += 1
                    self._heard_nothing(waiting_since, late_before_s)
                    waiting_since = None
                    self.first_answer.set()
                self._over.wait(pause_s)
            if waiting_since is not None:
                self._heard_nothing(waiting_since, late_before_s)

    def _heard_nothing(self, since: float, late_before_s: float) -> None:
        silent_s = time.monotonic() - since
        late_s = self.lateness.total_s - late_before_s
        self.longest_s = max(self.longest_s, silent_s - late_s)

    def end(self) -> None:
        """Ask no more."""
        self._over.set()
        self.join()


def main(settings: dict[str, Any]) -> None:
    """Ask until told to finish."""
    prober = Prober(settings)
    prober.start()
    prober.first_answer.wait(30)
    say(ready=prober.first_answer.is_set())
    for _ in commands():
        prober.end()
        say(
            asked=prober.asked,
            answered=prober.answered,
            longest_s=prober.longest_s,
            stalled_s=prober.lateness.longest_s,
        )
        return
