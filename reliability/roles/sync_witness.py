"""A witness with ClientLHC, in threads; its settings: ``witness``."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from reliability.common.journal import ANSWERED, Outcomes
from reliability.common.program import PATIENCE_S, commands, say
from reliability.common.setting import security_of_client
from reliability.roles.witness import LOOK_S, Follower, outcome_of


class Witness:
    """Asks in one thread, follows in another."""

    def __init__(self, settings: dict[str, Any]) -> None:
        from laplace_server.client import ClientLHC

        self.follower = Follower(settings["breach"])
        self.begun = threading.Semaphore(0)
        """Released once for the first answer, and once for the first update."""
        self.last: tuple[int, int] | None = None
        """Epoch and number of the update to end with."""
        self.reached = not settings["follow"]
        self._settings = settings
        self._over = threading.Event()
        self._client = ClientLHC(
            settings["address"],
            timeout_s=settings["timeout_s"],
            security=security_of_client(settings["keys"]),
        )
        self._threads = [threading.Thread(target=self._ask, daemon=True)]
        if settings["follow"]:
            self._threads.append(threading.Thread(target=self._follow, daemon=True))
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        outcomes = Outcomes(Path(self._settings["outcomes"]))
        number, answered = 0, False
        while not self._over.wait(self._settings["pause_s"]):
            try:
                self._client.opt({"who": self._settings["who"], "number": number})
            except Exception as problem:
                outcome = outcome_of(problem, self.follower.account)
            else:
                outcome = ANSWERED
                if not answered:
                    answered = True
                    self.begun.release()
            outcomes.note(outcome)
            number += 1
        outcomes.close()

    def _follow(self) -> None:
        deadline = float("inf")
        with self._client.subscribe("s", start="oldest") as subscription:
            while True:
                if self._over.is_set() and self.last is not None:
                    deadline = min(deadline, time.monotonic() + PATIENCE_S / 2)
                    self.reached = self.follower.reached(*self.last)
                    if self.reached or time.monotonic() > deadline:
                        return
                try:
                    update = subscription.next(LOOK_S)
                except TimeoutError:
                    continue
                self.follower.take(update, subscription)
                if self.follower.account.received == 1:
                    self.begun.release()

    def wait_begun(self) -> bool:
        """Wait for the first answer and the first update; False: they did not come."""
        return all(self.begun.acquire(timeout=30) for _ in self._threads)

    def finish(self, last: tuple[int, int] | None) -> dict[str, Any]:
        """End with that update; return the account."""
        self.last = last
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._client.close()
        return self.follower.report(self.reached)


def main(settings: dict[str, Any]) -> None:
    """Ask and follow until told to finish."""
    witness = Witness(settings)
    say(ready=witness.wait_begun())
    for command in commands():
        say(**witness.finish(command["last"]))
        return
