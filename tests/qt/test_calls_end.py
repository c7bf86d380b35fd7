"""ClientBridge ends at once, whatever hangs; the thread of all bridges ends with the last."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import Any

import pytest
from support.calls import Heard, ended, result
from support.hanging import WAYS, Hanging
from support.machine import within
from support.peers import PATIENCE_S, address_of
from support.ports import own_address
from support.qt import HAVE_PYQT6, needs_pyqt6, spin, spin_for
from support.served_apart import ServedApart
from support.serving import MakeServer
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.errors import RequestTimeout

if HAVE_PYQT6:
    from PyQt6 import sip
    from PyQt6.QtCore import QEventLoop, QObject, Qt
    from PyQt6.QtWidgets import QApplication, QLabel, QWidget

    from laplace_server.qt import ClientBridge

pytestmark = needs_pyqt6


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "client bridges"]


def wait_for_the_end() -> None:
    wait_until(lambda: not threads(), "the thread has ended")


class Window(QWidget if HAVE_PYQT6 else object):  # type: ignore[misc]
    """Asks a device for all there is, and shows it."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.label = QLabel(self)
        self.shown = 0
        self.bridge = ClientBridge(address, timeout_s=30.0, parent=self)
        self.polling = ClientBridge(address, timeout_s=30.0, parent=self)
        self.bridge.move([1.0]).progressed.connect(self.show_any)
        for method in ("halt", "ping", "info", "get", "stats", "describe"):
            getattr(self.bridge, method)().answered.connect(self.show_any)
        self.bridge.move([1.0]).answered.connect(self.show_any)
        self.polling.get(timeout_s=0.05).failed.connect(self.show_any)
        for _ in range(100):
            self.polling.get().answered.connect(self.show_any)

    def show_any(self, value: object) -> None:
        self.shown += 1
        self.label.setText(str(value)[:50])


@pytest.mark.alone
@pytest.mark.parametrize("hanging", WAYS.values(), ids=list(WAYS))
def test_a_window_closes_at_once_whatever_hangs(app: QApplication, hanging: Hanging) -> None:
    with hanging() as address:
        window = Window(address)
        window.show()
        spin(lambda: window.shown)
        spin_for(0.1)
        begun = time.monotonic()
        window.close()
        spin(lambda: sip.isdeleted(window))
        took = time.monotonic() - begun
        shown = window.shown
        wait_for_the_end()
        spin_for(0.1)
        assert window.shown == shown  # where a slot is called, its label is gone: it would abort
        assert took < within(0.1)


@pytest.mark.parametrize("hanging", WAYS.values(), ids=list(WAYS))
def test_no_slot_is_called_after_close_or_deletion(app: QApplication, hanging: Hanging) -> None:
    with hanging() as address:
        for end in (lambda bridge: bridge.close(), sip.delete):
            bridge = ClientBridge(address, timeout_s=0.1)
            heard = Heard()
            calls = [heard.listen(bridge.get()) for _ in range(3)]
            calls.append(heard.listen(bridge.move([2.0], timeout_s=0.1)))
            calls.append(heard.listen(bridge.halt()))
            end(bridge)
            assert all(call.done and call.cancelled for call in calls)
            calls[0].cancel()
            spin_for(0.2)
            assert heard.said == []
        wait_for_the_end()


def test_one_thread_for_many_devices(make_server: MakeServer, make_caller: Any) -> None:
    """And none is held up by those that hang."""
    servers = [make_server(data={"n": n}) for n in range(5)]
    bridges = [make_caller(server) for server in servers for _ in range(6)]
    absent = [make_caller(own_address()) for _ in range(10)]
    assert threads() == []
    for bridge in absent:
        bridge.get()
    for _ in range(3):
        calls = [bridge.get() for bridge in bridges]
        assert [result(call)["n"] for call in calls] == [n for n in range(5) for _ in range(6)]
    (thread,) = threads()
    for bridge in (*bridges, *absent[1:]):
        bridge.close()
    assert not absent[0].pending[0].done
    assert threads() == [thread]
    absent[0].close()
    wait_for_the_end()
    assert result(make_caller(servers[0]).get()) == {"n": 0}
    assert threads() not in ([thread], [])


def test_a_bridge_that_was_never_used_has_no_thread(app: QApplication) -> None:
    parent = QObject()
    gone = weakref.ref(ClientBridge(own_address()))
    kept = ClientBridge(own_address(), parent=parent)
    assert gone() is None
    kept.close()
    sip.delete(parent)
    assert sip.isdeleted(kept)
    assert threads() == []


@pytest.mark.parametrize("cycle", [False, True])
def test_it_ends_when_it_is_collected(server: ServerLHC, app: QApplication, cycle: bool) -> None:
    bridge = ClientBridge(address_of(server))
    heard = Heard()
    call = heard.listen(bridge.get())
    gone = weakref.ref(bridge)
    if cycle:
        bridge.itself = bridge  # type: ignore[attr-defined]
    del bridge
    gc.collect()
    assert gone() is None
    assert call.cancelled
    wait_for_the_end()
    spin_for(0.05)
    assert heard.said == []


def test_it_is_closed_by_another_thread(make_caller: Any) -> None:
    bridge = make_caller(own_address(), timeout_s=60.0)
    call = bridge.get()
    closing = threading.Thread(target=bridge.close)
    closing.start()
    closing.join()
    assert (bridge.closed, call.cancelled) == (True, True)
    wait_for_the_end()


def test_it_ends_with_its_parent(server: ServerLHC, app: QApplication) -> None:
    window = QWidget()
    bridge = ClientBridge(address_of(server), parent=window)
    call = bridge.get()
    sip.delete(window)
    assert sip.isdeleted(bridge)
    assert call.cancelled
    wait_for_the_end()


# ---- slots that do what they like


def test_a_slot_that_calls_again(server: ServerLHC, make_caller: Any) -> None:
    bridge = make_caller(server)
    values: list[Any] = []

    def again(value: Any) -> None:
        values.append(value)
        if len(values) < 50:
            bridge.ping().answered.connect(again)

    bridge.ping().answered.connect(again)
    spin(lambda: len(values) == 50)


# What comes once a slot of the call's first signal in question has ended something.
COMES = {
    ("answered", "close"): ["slot", "answered"],  # of the same signal, for those connected later
    ("answered", "delete"): ["slot", "answered"],
    ("answered", "delete the call"): ["slot", "bridge"],
    ("answered", "cancel"): ["slot", "answered", "bridge", "ended"],
    ("failed", "close"): ["slot", "failed"],
    ("failed", "delete"): ["slot", "failed"],
    ("failed", "delete the call"): ["slot", "bridge"],
    ("failed", "cancel"): ["slot", "failed", "bridge", "ended"],
    ("progressed", "close"): ["slot"],
    ("progressed", "delete"): ["slot"],
    ("progressed", "delete the call"): ["slot"],
    ("progressed", "cancel"): ["slot", "ended"],
    ("ended", "close"): ["answered", "bridge", "slot", "ended"],
    ("ended", "delete"): ["answered", "bridge", "slot", "ended"],
    ("ended", "delete the call"): ["answered", "bridge", "slot"],
    ("ended", "cancel"): ["answered", "bridge", "slot", "ended"],
}


@pytest.mark.parametrize(("signal", "what"), list(COMES))
def test_a_slot_that_ends_something(
    make_server: MakeServer, make_caller: Any, signal: str, what: str
) -> None:
    server = make_server(data={"positions": [0.0], "moving": True})
    server.set_on_position_changed(lambda positions: None)
    bridge = make_caller(server)
    begin = {"failed": lambda: bridge.request("NO SUCH"), "progressed": lambda: bridge.move([1.0])}
    call = begin.get(signal, bridge.ping)()
    end = {
        "close": bridge.close,
        "delete": lambda: sip.delete(bridge),
        "delete the call": lambda: sip.delete(call),
        "cancel": call.cancel,
    }[what]
    said: list[str] = []
    getattr(call, signal).connect(lambda *_: (said.append("slot"), end()))
    for name in ("answered", "failed", "ended"):
        getattr(call, name).connect(lambda *_, name=name: said.append(name))
    for each in (bridge.answered, bridge.failed):
        each.connect(lambda call: said.append("bridge"))
    spin(lambda: "slot" in said)
    spin_for(0.05)
    assert said == COMES[signal, what]
    if what in ("close", "delete"):
        wait_for_the_end()


def test_a_slot_with_an_event_loop_of_its_own(server: ServerLHC, make_caller: Any) -> None:
    """As a dialog has: what follows is delivered there, in order."""
    bridge = make_caller(server)
    heard = Heard()
    calls = [bridge.ping() for _ in range(10)]

    def dialog(value: Any) -> None:
        loop = QEventLoop()
        calls[5].ended.connect(loop.quit)
        loop.exec()
        heard.said.append(("dialog", "ended"))

    calls[0].answered.connect(dialog)
    for n, call in enumerate(calls):
        heard.listen(call, n)
    spin(lambda: len(heard.order()) == 11)
    order = heard.order()
    assert order[:5] == [1, 2, 3, 4, 5]
    assert [each for each in order if each not in ("dialog", 0)] == list(range(1, 10))


def test_a_server_that_is_killed_and_comes_back(make_server: MakeServer, make_caller: Any) -> None:
    other = ServedApart()
    try:
        bridge = make_caller(other.address, timeout_s=0.5)
        assert result(bridge.get()) == {"x": [1]}
        call = bridge.get()
    finally:
        other.child.close()  # killed
    ended(call)
    with pytest.raises(RequestTimeout, match="nobody listens there"):
        result(bridge.get())
    back = bridge.get(timeout_s=PATIENCE_S)
    make_server(address=bridge.address, data={"x": 2})
    assert result(back) == {"x": 2}
