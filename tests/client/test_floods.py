"""Servers that say much to a subscription, and nothing that it waits for."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from support.both_clients import Kind
from support.event_loop import run
from support.peers import PATIENCE_S
from support.raw_listeners import message
from support.raw_server import RawServer, shake_hands
from support.stream_messages import ALIVE, answer, word

from laplace_server.client import AsyncClientLHC

pytestmark = pytest.mark.transports()


class Flood(RawServer):
    """Grants a subscription and says without end that it is alive."""

    def __init__(self) -> None:
        super().__init__(self._flood)
        self.enough = threading.Event()
        self.is_over = False
        """Nobody has said that it is enough."""

    def _flood(self, connection: socket.socket) -> None:
        shake_hands(connection).receive_frames()
        connection.sendall(message(*answer()))
        words = message(*word(ALIVE)) * 1000
        deadline = time.monotonic() + PATIENCE_S
        while not self.enough.is_set() and not self.is_over:
            connection.sendall(words)
            self.is_over = time.monotonic() > deadline


@pytest.fixture
def flood() -> Iterator[Flood]:
    with Flood() as made:
        yield made


def test_the_time_is_over_all_the_same(kind: Kind, flood: Flood) -> None:
    with kind(flood.address, timeout_s=PATIENCE_S) as client, client.subscribe("s") as followed:
        with pytest.raises(TimeoutError):
            followed.next(0.1)
        flood.enough.set()
        assert not flood.is_over


@pytest.mark.usefixtures("each_loop")
def test_other_tasks_have_their_turn(flood: Flood) -> None:
    async def scene() -> None:
        async with AsyncClientLHC(flood.address) as client, client.subscribe("s") as followed:
            taking = asyncio.ensure_future(followed.next())
            for _ in range(20):
                await asyncio.sleep(0)
            flood.enough.set()
            assert not flood.is_over
            taking.cancel()
            await asyncio.wait([taking])

    run(scene())
