"""Calls of a client's methods, on their way to the thread that carries them out."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from laplace_server.client.moves import Arrival
from laplace_server.client.requests import Request, Requests
from laplace_server.wire import commands

if TYPE_CHECKING:
    from laplace_server.client.asyncio.client import AsyncClientLHC

__all__ = ["Call", "Work", "asking", "moving", "plain"]

Look = Callable[[dict[str, Any]], None]
Work = Callable[["AsyncClientLHC", float, Look], Coroutine[Any, Any, Any]]
"""Carries a call out within so many seconds, and tells of each look at the device."""

_READS = frozenset({"describe", "get", "info", "ping", "stats"})

_numbers = itertools.count(1)


class Call:
    """One call. What is to be sent is ready, so what it was made of may change.

    Args:
        method: of the client.
        cmd: the command, for texts of errors.
        work: what it does.
        seconds: how long it may take, all waiting included.
    """

    def __init__(self, method: str, cmd: str, work: Work, seconds: float) -> None:
        self.method = method
        self.cmd = cmd
        self.work = work
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self.number = next(_numbers)
        """Greater than those of all calls before it."""
        self.looked = False
        """Whether it is a move, and its SET has been answered."""

    @property
    def reads(self) -> bool:
        """Whether it changes nothing at the device."""
        return self.method in _READS

    @property
    def moves(self) -> bool:
        """Whether it is a move, which takes as long as the device does."""
        return self.method == "move"


def asking(request: Request[Any], answers: bool) -> Work:
    """Return the work of a single request; its answer is None unless it ``answers`` something."""

    async def ask(client: AsyncClientLHC, seconds: float, look: Look) -> Any:
        answer = await client._ask(request, seconds)
        return answer if answers else None

    return ask


def plain(method: str) -> Work:
    """Return the work of a method that takes a time-out and nothing else."""

    async def ask(client: AsyncClientLHC, seconds: float, look: Look) -> Any:
        return await getattr(client, method)(timeout_s=seconds)

    return ask


def moving(requests: Requests, positions: Any, tolerance: float, timeout_s: float) -> Work:
    """Return the work of a move.

    Raises:
        TypeError, ValueError: as ``ClientLHC.move``.
    """
    Arrival(requests.address, positions, tolerance, timeout_s, None)  # it checks them
    requests.of(commands.SET, positions)
    kept = dict(positions) if isinstance(positions, Mapping) else list(positions)

    async def move(client: AsyncClientLHC, seconds: float, look: Look) -> Any:
        return await client.move(kept, tolerance=tolerance, timeout_s=seconds, progress=look)

    return move
