"""FleetBridge: devices that come and go, told to a window."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from support.fleets import NOBODY, QUICK, Mortal
from support.machine import within
from support.peers import PATIENCE_S
from support.qt import HAVE_PYQT6, needs_pyqt6, spin, spin_for
from support.raw_listeners import RawListener
from support.waiting import wait_until

from laplace_server.errors import ClientClosed

if HAVE_PYQT6:
    from PyQt6 import sip
    from PyQt6.QtCore import QObject, QThread
    from PyQt6.QtWidgets import QApplication

    from laplace_server.qt import FleetBridge

pytestmark = needs_pyqt6


@pytest.fixture
def make_fleet(app: QApplication, nothing_left_behind: None) -> Iterator[Any]:
    """Make bridges; all are stopped."""
    made: list[Any] = []

    def make(*addresses: str, **arguments: Any) -> Any:
        made.append(FleetBridge(addresses, **{**QUICK, **arguments}))
        return made[-1]

    yield make
    for bridge in made:
        thread = bridge._thread
        if not sip.isdeleted(bridge):
            bridge.stop()
            sip.delete(bridge)
        if thread.is_alive():
            thread.join(PATIENCE_S)


def test_a_window_hears_who_is_lost_and_who_is_back(make_fleet: Any) -> None:
    said: list[tuple[str, str, bool]] = []
    with Mortal() as device:
        bridge = make_fleet(device.address)

        def hear(word: str) -> Any:
            def slot(state: Any) -> None:
                mine = QThread.currentThread() == bridge.thread()
                said.append((word, state.name, mine))

            return slot

        bridge.joined.connect(hear("joined"))
        bridge.lost.connect(hear("lost"))
        bridge.start()
        bridge.save("/a")
        spin(lambda: len(said) == 1)
        device.kill()
        spin(lambda: len(said) == 2)
        spin(lambda: bridge[device.address].reason == NOBODY)
        device.start()
        spin(lambda: len(said) == 3 and not bridge.missing())
        assert device.told() == [["SAVE", "/a"]]
    assert said == [(word, "device", True) for word in ("joined", "lost", "joined")]


def test_a_busy_window_is_told_once(make_fleet: Any) -> None:
    said: list[str] = []
    with Mortal() as device:
        bridge = make_fleet(device.address)
        bridge.joined.connect(lambda _: said.append("joined"))
        bridge.lost.connect(lambda _: said.append("lost"))
        bridge.start()
        # Meanwhile the event loop does not run.
        for count in (1, 2, 3):
            wait_until(lambda n=count: bridge[device.address].joined == n, "it joins")
            if count < 3:
                device.restart()
        spin(lambda: said)
        spin_for(0.1)
    assert said == ["joined"]


def test_a_slot_may_stop_it_or_delete_it(make_fleet: Any) -> None:
    with Mortal() as device:
        for end in (lambda bridge: bridge.stop(), sip.delete):
            bridge = make_fleet(device.address)
            said: list[None] = []

            def slot(_: Any, bridge: Any = bridge, end: Any = end, said: Any = said) -> None:
                said.append(None)
                end(bridge)

            thread = bridge._thread
            bridge.joined.connect(slot)
            bridge.start()
            spin(lambda: said)  # noqa: B023
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def test_stopping_waits_for_nobody_and_is_for_good(make_fleet: Any) -> None:
    with RawListener() as listener:
        address = f"tcp://127.0.0.1:{listener.port}"
        bridge = make_fleet(address, timeout_s=3600.0)
        assert not bridge.running
        bridge.start()
        assert bridge.running
        begun = time.monotonic()
        bridge.stop()
        assert time.monotonic() - begun < within(0.1)
        assert not bridge.running
        with pytest.raises(ClientClosed, match="once"):
            bridge.start()


def test_it_ends_with_its_parent_and_when_it_is_collected(make_fleet: Any) -> None:
    parent = QObject()
    bridge = make_fleet("tcp://127.0.0.1:1", parent=parent)
    bridge.start()
    thread = bridge._thread
    sip.delete(parent)
    thread.join(PATIENCE_S)
    assert not thread.is_alive()

    forgotten = FleetBridge(["tcp://127.0.0.1:1"], **QUICK)
    forgotten.start()
    thread, known = forgotten._thread, weakref.ref(forgotten)
    del forgotten
    assert known() is None
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_wrong_arguments_are_refused(app: QApplication) -> None:
    with pytest.raises(ValueError, match="already"):
        FleetBridge(["tcp://127.0.0.1:1", "tcp://127.0.0.1:1"])
