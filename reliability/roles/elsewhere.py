"""Raw peers in another network: one that asks for nothing more, and some that read no answer.

Settings: ``address``, ``count``.
"""

from __future__ import annotations

from typing import Any

from reliability.common.peers import greet, request
from reliability.common.program import commands, say

MANY = 200


def main(settings: dict[str, Any]) -> None:
    """Ask, and wait to be killed."""
    peers = [greet(settings["address"]) for _ in range(settings["count"])]
    peers[0].send(request("PING"))
    peers[0].receive()
    for peer in peers[1:]:
        for _ in range(MANY):
            peer.send(request("GET"))
    say(ready=True)
    for _ in commands():
        return
