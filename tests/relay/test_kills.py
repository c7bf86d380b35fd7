"""Relay, broker and server killed again and again: each update is stored once, or told as lost."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from nats.js.errors import NotFoundError
from relay.conftest import MakeBroker
from support import ports
from support.isolated import Child
from support.machine import within
from support.nats import Broker, needs_nats
from support.nats_store import ledger_of, stored_ids, totals
from support.peers import PATIENCE_S, address_of
from support.serving import MakeServer
from support.stream_accounts import Account
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.relay import follow
from laplace_server.relay.records import Kind

pytestmark = needs_nats

RELAY = """
    import sys, threading
    from laplace_server.relay import NatsRelay

    url, *sources = sys.argv[1:]
    with NatsRelay(url, sources):
        print("begun", flush=True)
        threading.Event().wait()
"""
DEVICE = """
    import itertools, sys, time
    from laplace_server import ServerLHC

    server = ServerLHC("camera", sys.argv[1], 0, "CAMERA")
    server.start()
    print(server.epoch, flush=True)
    for n in itertools.count(1):
        server.publish("shots", {"n": n})
        time.sleep(0.001)
"""
MakeChild = Callable[..., Child]


class Publishing(threading.Thread):
    """Publishes small updates and images until it is told to end."""

    def __init__(self, server: ServerLHC) -> None:
        super().__init__(name="publishing")
        self.server = server
        self.ending = threading.Event()
        self.shots = self.images = 0

    def run(self) -> None:
        image = np.arange(400_000, dtype=np.uint16).reshape(1000, 400)  # 0.8 MB
        while not self.ending.wait(0.01):
            for _ in range(30):
                self.shots = self.server.publish("shots", {"n": self.shots + 1})
            if self.shots % 300 == 0:
                self.images = self.server.publish("images", {"n": self.images + 1, "image": image})


def caught_up(broker: Broker, stream: str, last: int) -> bool:
    try:
        return ledger_of(stored_ids(broker.url, "camera", stream))[-1].next == last + 1
    except Exception as error:
        if isinstance(error, AssertionError):
            raise
        return False


def kill_for(seconds: float, server: ServerLHC, broker: Broker, make_child: MakeChild) -> None:
    address = address_of(server)
    sources = [f"{address}/shots", f"{address}/images"]
    server.declare_stream("shots", history_bytes=256 << 20)
    server.declare_stream("images", history_bytes=1 << 30)
    publishing = Publishing(server)
    publishing.start()
    account = Account()
    chance = random.Random(20)
    try:
        relay = make_child(RELAY, broker.url, *sources)
        end = time.monotonic() + seconds
        relay.hear()
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.3, 1.5))  # when something is killed
            if chance.random() < 0.4:
                broker.kill()
                broker.start()
            if chance.random() < 0.8:
                relay.process.kill()
                relay.close()
                relay = make_child(RELAY, broker.url, *sources)
                relay.hear()
    finally:
        publishing.ending.set()
        publishing.join()
    wait_until(lambda: caught_up(broker, "shots", publishing.shots), "all shots", within(60))
    wait_until(lambda: caught_up(broker, "images", publishing.images), "all images", within(60))
    for stream, count in (("shots", publishing.shots), ("images", publishing.images)):
        assert totals(ledger_of(stored_ids(broker.url, "camera", stream))) == (count, 0)
    with follow(broker.url, "camera", "shots", start="oldest") as shots:
        for _ in range(publishing.shots):
            account.take(shots.next(PATIENCE_S))
        assert shots.lost == 0


def test_a_few_kills(make_server: MakeServer, broker: Broker, make_child: MakeChild) -> None:
    kill_for(8, make_server(name="camera"), broker, make_child)


@pytest.mark.slow
@pytest.mark.timeout(within(240))
def test_a_minute_of_kills(make_server: MakeServer, broker: Broker, make_child: MakeChild) -> None:
    kill_for(60, make_server(name="camera"), broker, make_child)


def test_a_broker_that_writes_at_once(
    make_server: MakeServer, make_broker: MakeBroker, make_child: MakeChild
) -> None:
    broker = make_broker(jetstream={"sync_interval": "always"})
    kill_for(4, make_server(name="camera"), broker, make_child)


def test_a_server_that_is_killed(broker: Broker, make_child: MakeChild) -> None:
    """What it published last may be lost, and nobody knows: its epoch ends with a cut."""
    address = ports.own_address()
    relay = make_child(RELAY, broker.url, f"camera={address}/shots")
    relay.hear()
    lives: list[int] = []
    for _ in range(4):
        device = make_child(DEVICE, address)
        lives.append(int(device.hear()))
        wait_until(lambda: _knows(broker, lives[-1]), "it is relayed", within(10))
        device.close()
    epochs = ledger_of(stored_ids(broker.url, "camera", "shots"))
    assert [each.epoch for each in epochs] == lives
    assert [each.end for each in epochs[:-1]] == [Kind.CUT] * 3
    assert all(each.updates > 0 for each in epochs)


def _knows(broker: Broker, epoch: int) -> bool:
    try:
        ids = stored_ids(broker.url, "camera", "shots")
    except NotFoundError:
        return False
    return any(each.epoch == epoch for each in ids)
