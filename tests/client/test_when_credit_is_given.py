"""What has come is read before credit is given.

A server that has ended answers credit by a reset, and what is on its way then is lost.
"""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
from support.event_loop import run
from support.peers import PATIENCE_S
from support.raw_server import RawServer, shake_hands
from support.stream_messages import CREDIT, answer, control_of, updates
from support.updates import numbers

from laplace_server.client import AsyncClientLHC, ClientLHC
from laplace_server.client.asyncio.inbox import MOST_MESSAGES

pytestmark = pytest.mark.transports


class Burst:
    """A server that sends updates, each in a message, at once, and notes what is said next."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.subscribed, self.sent = threading.Event(), threading.Event()
        self.said: list[dict[str, int]] = []

    def talk(self, connection: socket.socket) -> None:
        peer = shake_hands(connection)
        peer.receive_frames()
        peer.send_frames(answer())
        assert self.subscribed.wait(PATIENCE_S)
        messages = (peer.message(updates(n, n)) for n in range(1, self.count + 1))
        connection.sendall(b"".join(messages))
        self.sent.set()
        self.said.append(control_of(peer.receive_frames()[1]))

    def check(self) -> None:
        assert (self.said[0]["kind"], self.said[0]["next"]) == (CREDIT, self.count + 1)


def test_in_a_thread() -> None:
    burst = Burst(13)  # of the 16 messages allowed, half of which are worth a word
    with RawServer(burst.talk) as server, ClientLHC(server.address) as client:
        with client.subscribe("s", timeout_s=PATIENCE_S) as subscription:
            burst.subscribed.set()
            assert burst.sent.wait(PATIENCE_S)
            assert numbers(subscription, burst.count) == list(range(1, burst.count + 1))
            with pytest.raises(TimeoutError):
                subscription.next(0.05)
    burst.check()


@pytest.mark.usefixtures("each_loop")
def test_with_asyncio() -> None:
    burst = Burst(MOST_MESSAGES + 4)

    async def scene(address: str) -> None:
        async with AsyncClientLHC(address) as client:
            async with client.subscribe("s", timeout_s=PATIENCE_S) as subscription:
                burst.subscribed.set()
                assert burst.sent.wait(PATIENCE_S)
                for _ in range(10):  # the loop receives as many as it does while nobody takes them
                    await asyncio.sleep(0)
                taken = [(await subscription.next(PATIENCE_S)).seq for _ in range(burst.count)]
                assert taken == list(range(1, burst.count + 1))
                with pytest.raises(TimeoutError):
                    await subscription.next(0.05)

    with RawServer(burst.talk) as server:
        run(scene(server.address))
    burst.check()
