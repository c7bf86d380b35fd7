"""StreamBridge out of NATS, where a relay has brought the stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.machine import within
from support.nats import Broker, needs_nats
from support.peers import address_of
from support.qt import MakeBridge, needs_pyqt6, spin
from support.serving import MakeServer
from support.updates import adds_up, publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.relay import NatsDevice, NatsRelay

pytestmark = [needs_nats, needs_pyqt6]


@pytest.fixture
def camera(make_server: MakeServer) -> ServerLHC:
    return make_server(name="camera")


@pytest.fixture
def broker(camera: ServerLHC, tmp_path: Path) -> Iterator[Broker]:
    """It has the first 100 updates of the camera, and all that come."""
    publish(camera, 1, 100)
    broker = Broker(tmp_path / "n1").start()
    try:
        with NatsRelay(broker.url, [(address_of(camera), "s")]) as relay:
            wait_until(lambda: relay.stats().sources[0].last == 100, "all is stored", within(10))
            yield broker
    finally:
        broker.kill()


def test_every_update(camera: ServerLHC, broker: Broker, make_bridge: MakeBridge) -> None:
    device = NatsDevice(broker.url, "camera")
    got: list[Any] = []
    bridge = make_bridge(device, start="oldest", latest_only=False, begin=False)
    bridge.updates_received.connect(got.extend)
    bridge.start()
    spin(lambda: len(got) == 100)
    publish(camera, 101, 110)
    spin(lambda: len(got) == 110)
    assert adds_up(got, 1, 110)
    assert (bridge.connected, bridge.lost, bridge.address) == (True, 0, device.address)


def test_the_newest(camera: ServerLHC, broker: Broker, make_bridge: MakeBridge) -> None:
    got: list[Any] = []
    bridge = make_bridge(NatsDevice(broker.url, "camera"), start="newest", begin=False)
    bridge.update_received.connect(got.append)
    bridge.start()
    spin(lambda: [each.seq for each in got] == [100])
    publish(camera, 101, 400)
    spin(lambda: got[-1].seq == 400)
    assert bridge.shown + bridge.skipped == 301


def test_it_says_why_nothing_comes(
    camera: ServerLHC, broker: Broker, make_bridge: MakeBridge
) -> None:
    device = NatsDevice(broker.url, "camera")
    got: list[Any] = []
    why: list[str] = []
    bridge = make_bridge(device, start="newest", begin=False)
    bridge.update_received.connect(got.append)
    bridge.failed.connect(why.append)
    bridge.start()
    spin(lambda: bridge.connected and bool(got), within(10))
    broker.kill()
    spin(lambda: not bridge.connected, within(15))
    assert "no connection to NATS" in why[-1]
    broker.start()
    publish(camera, 101, 101)
    spin(lambda: bridge.connected and got[-1].seq == 101, within(15))
    camera.stop()
    spin(lambda: not bridge.connected, within(15))
    assert why[-1] == "its server has ended"
    device.close()
    assert bridge.running
