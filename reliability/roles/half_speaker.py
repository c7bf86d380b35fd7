"""A peer of the device with many connections, each cut short at another byte; then it is killed.

Settings: ``address``, ``connections``, ``seed``.
"""

from __future__ import annotations

import contextlib
import random
import socket
from typing import Any

from reliability.common.peers import RawPeer, connect, request
from reliability.common.program import commands, say

_LARGE = 1 << 20


def words(chance: random.Random) -> bytes:
    """Return what a peer says up to any byte: within the greeting, READY, a request, a large one.

    Those of CURVE are said as far as a stranger can: the greeting, and a HELLO of no key.
    """
    if chance.random() < 0.3:
        greeting = RawPeer.GREETING[:12] + b"CURVE".ljust(20, b"\0") + bytes(32)
        hello = b"\x04\xc8\x05HELLO\x01\x00" + chance.randbytes(192)
        said = greeting + hello
    else:
        body = request("PING") if chance.random() < 0.7 else chance.randbytes(_LARGE)
        message = RawPeer.frame(b"", more=True) + RawPeer.frame(body)
        said = bytes(RawPeer.GREETING + RawPeer.ready() + message)
    return said[: chance.randrange(1, len(said))]


def main(settings: dict[str, Any]) -> None:
    """Say it, and wait to be killed."""
    chance = random.Random(settings["seed"])
    open_ones: list[socket.socket] = []
    for _ in range(settings["connections"]):
        peer = connect(settings["address"])
        open_ones.append(peer)
        with contextlib.suppress(ConnectionError):  # it was no request, and the device has closed
            peer.sendall(words(chance))
    say(ready=True)
    for _ in commands():
        return
