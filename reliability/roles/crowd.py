"""Many clients at once, or one after the other.

Settings: ``address``, ``keys``, ``count``, ``together``: whether all are connected at once.
"""

from __future__ import annotations

from typing import Any

from reliability.common.program import say
from reliability.common.setting import security_of_client

ROUNDS = 3


def main(settings: dict[str, Any]) -> None:
    """Ask as all of them, and tell how often an answer came."""
    from laplace_server.client import ClientLHC

    security = security_of_client(settings["keys"])
    answered = 0

    def client(number: int) -> ClientLHC:
        name = f"client {number}"
        return ClientLHC(settings["address"], name, timeout_s=30, security=security)

    if settings["together"]:
        clients = [client(number) for number in range(settings["count"])]
        for _ in range(ROUNDS):
            for each in clients:
                each.ping()
                answered += 1
        for each in clients:
            each.close()
    else:
        for number in range(settings["count"]):
            with client(number) as each:
                each.ping()
                answered += 1
    say(answered=answered)
