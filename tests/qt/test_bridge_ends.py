"""StreamBridge begins and ends: in slots, with its parent, collected."""

from __future__ import annotations

import gc
import time
import weakref

import pytest
from support.machine import within
from support.peers import PATIENCE_S, address_of
from support.qt import HAVE_PYQT6, MakeBridge, needs_pyqt6, spin, spin_for
from support.updates import publish_all
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC, stream_relay
from laplace_server.stream import Update

if HAVE_PYQT6:
    from PyQt6 import sip
    from PyQt6.QtCore import QObject
    from PyQt6.QtWidgets import QApplication, QWidget

    from laplace_server.qt import StreamBridge


@pytest.mark.alone
@needs_pyqt6
def test_stop_ends_and_start_begins_anew(server: ServerLHC, make_bridge: MakeBridge) -> None:
    bridge = make_bridge(server)
    got: list[Update] = []
    states: list[bool] = []
    bridge.update_received.connect(got.append)
    bridge.connected_changed.connect(states.append)
    publish_all(server, 10)
    relay = bridge._life.relay
    wait_until(lambda: relay._updates, "one is there")
    begun = time.monotonic()
    bridge.stop()
    assert time.monotonic() - begun < within(0.1)
    bridge.stop()
    assert (bridge.running, bridge.connected, states) == (False, False, [False])
    spin_for(0.1)
    assert got == []
    relay.join(PATIENCE_S)
    assert not relay.is_alive()

    bridge.start()
    bridge.start()
    spin(lambda: bridge.connected)
    server.publish("s", {})
    spin(lambda: got)
    assert [update.seq for update in got] == [11]
    assert (bridge.shown, bridge.skipped) == (1, 0)
    assert states == [False, True]


@needs_pyqt6
def test_stop_in_a_slot(server: ServerLHC, make_bridge: MakeBridge) -> None:
    bridge = make_bridge(server)
    got: list[Update] = []
    bridge.update_received.connect(lambda update: (got.append(update), bridge.stop()))
    server.publish("s", {})
    spin(lambda: got)
    publish_all(server, 100)
    spin_for(0.1)
    assert len(got) == 1


@needs_pyqt6
def test_a_client_of_ones_own(
    server: ServerLHC, make_bridge: MakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_relay, "_SILENCE_S", 0.2)
    with ClientLHC(address_of(server), name="mine") as client:
        bridge = make_bridge(client)
        assert bridge.address == client.address
        assert server.stats().subscribers[0].who == "mine"
        bridge.stop()
        assert client.ping() < PATIENCE_S
        bridge.start()
        spin(lambda: bridge.connected)
        failures: list[str] = []
        bridge.failed.connect(failures.append)
        client.close()
        spin(lambda: failures)
    assert "closed" in failures[0]
    assert not bridge.connected


@needs_pyqt6
def test_it_ends_with_its_parent(server: ServerLHC, app: QApplication) -> None:
    window = QWidget()
    bridge = StreamBridge(address_of(server), "s", parent=window)
    assert bridge.parent() is window
    bridge.start()
    spin(lambda: bridge.connected)
    relay = bridge._life.relay
    assert relay is not None
    sip.delete(window)
    assert sip.isdeleted(bridge)
    relay.join(PATIENCE_S)
    assert not relay.is_alive()


@needs_pyqt6
@pytest.mark.parametrize("cycle", [False, True])
def test_it_ends_when_it_is_collected(server: ServerLHC, app: QApplication, cycle: bool) -> None:
    bridge = StreamBridge(address_of(server), "s")
    bridge.start()
    relay = bridge._life.relay
    assert relay is not None
    wait_until(lambda: relay._connected, "it follows")
    gone = weakref.ref(bridge)
    if cycle:
        bridge.itself = bridge  # type: ignore[attr-defined]
    del bridge
    gc.collect()
    assert gone() is None
    relay.join(PATIENCE_S)
    assert not relay.is_alive()


@needs_pyqt6
def test_a_bridge_that_never_began_leaves_nothing(app: QApplication) -> None:
    parent = QObject()
    gone = weakref.ref(StreamBridge("tcp://127.0.0.1:5555", "s"))
    kept = StreamBridge("tcp://127.0.0.1:5555", "s", parent=parent)
    kept.stop()
    assert gone() is None
    sip.delete(parent)
    assert sip.isdeleted(kept)
