"""A witness with AsyncClientLHC, in tasks; its settings: ``witness``."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from reliability.common.journal import ANSWERED, Outcomes
from reliability.common.program import PATIENCE_S, say
from reliability.common.setting import security_of_client
from reliability.roles.witness import LOOK_S, Follower, outcome_of


class Witness:
    """Asks in one task, follows in another."""

    def __init__(self, settings: dict[str, Any], client: Any) -> None:
        self.follower = Follower(settings["breach"])
        self.answered = asyncio.Event()
        self.updated = asyncio.Event()
        self.over = False
        self.last: tuple[int, int] | None = None
        """Epoch and number of the update to end with."""
        self._settings = settings
        self._client = client
        if not settings["follow"]:
            self.updated.set()

    async def ask(self) -> None:
        """Ask until it is over."""
        outcomes = Outcomes(Path(self._settings["outcomes"]))
        number = 0
        while not self.over:
            try:
                await self._client.opt({"who": self._settings["who"], "number": number})
            except Exception as problem:
                outcome = outcome_of(problem, self.follower.account)
            else:
                outcome = ANSWERED
                self.answered.set()
            outcomes.note(outcome)
            number += 1
            await asyncio.sleep(self._settings["pause_s"])
        outcomes.close()

    async def follow(self) -> bool:
        """Follow until the last update; return whether it has come."""
        if not self._settings["follow"]:
            return True
        clock = asyncio.get_running_loop().time
        deadline = float("inf")
        async with self._client.subscribe("s", start="oldest") as subscription:
            while True:
                if self.over and self.last is not None:
                    deadline = min(deadline, clock() + PATIENCE_S / 2)
                    if self.follower.reached(*self.last):
                        return True
                    if clock() > deadline:
                        return False
                try:
                    update = await subscription.next(LOOK_S)
                except TimeoutError:
                    continue
                self.follower.take(update, subscription)
                self.updated.set()


async def witness(settings: dict[str, Any]) -> None:
    """Ask and follow until told to finish."""
    from laplace_server.client import AsyncClientLHC

    security = security_of_client(settings["keys"])
    async with AsyncClientLHC(
        settings["address"], timeout_s=settings["timeout_s"], security=security
    ) as client:
        it = Witness(settings, client)
        asking = asyncio.ensure_future(it.ask())
        following = asyncio.ensure_future(it.follow())
        begun = [asyncio.ensure_future(each.wait()) for each in (it.answered, it.updated)]
        _, missing = await asyncio.wait(begun, timeout=30)
        say(ready=not missing)
        told = await asyncio.to_thread(sys.stdin.readline)
        if not told:
            return
        it.last = json.loads(told)["last"]
        it.over = True
        await asking
        say(**it.follower.report(await following))


def main(settings: dict[str, Any]) -> None:
    """Run it in a loop of its own."""
    asyncio.run(witness(settings))
