"""How tests see that data is live or frozen."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from support.isolated import Child
from support.machine import WINDOWS, within
from support.peers import Peer
from support.waiting import LIMIT_S, eventually

from laplace_server import ServerLHC

MakeChild = Callable[..., Child]


# What a client may wait while this process holds the GIL or runs a callback (s).
PROMPT_S = within(0.1)


def refreshes_during(server: ServerLHC, action: Callable[[], Any]) -> int:
    before = server.stats().refreshes
    action()
    return server.stats().refreshes - before


def becomes_frozen(server: ServerLHC, client: Peer, within_s: float = LIMIT_S) -> bool:
    """Whether reads stop causing refreshes."""
    return eventually(
        lambda: refreshes_during(server, lambda: (client.get(), client.get())) == 0, within_s
    )


def hold_gil(seconds: float) -> None:
    # PyDLL keeps the GIL during the call, as a badly written driver does.
    if WINDOWS:
        ctypes.PyDLL("kernel32").Sleep(int(seconds * 1e3))
    else:
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))
