"""StreamBridge: from a real server to slots in the GUI thread; no flood, no crash, no leak."""

from __future__ import annotations

import copy
import gc
import importlib.util
import itertools
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from isolated import environment, run_script
from machine import MACOS, within
from name_service import NameService
from raw_peers import wait_until

from laplace_server import ServerLHC, stream_relay
from laplace_server.client import ClientLHC
from laplace_server.errors import LaplaceError
from laplace_server.stream import Subscription, Update

# Before Qt is loaded: there is no screen where tests run.
os.environ["QT_QPA_PLATFORM"] = "offscreen"

HAVE_PYQT6 = importlib.util.find_spec("PyQt6") is not None
needs_pyqt6 = pytest.mark.skipif(not HAVE_PYQT6, reason="PyQt6 is not installed")

if HAVE_PYQT6:
    from PyQt6 import sip
    from PyQt6.QtCore import QEventLoop, QObject, QTimer
    from PyQt6.QtWidgets import QApplication, QWidget

    from laplace_server.qt import StreamBridge

PATIENCE_S = within(20)

MakeServer = Callable[..., ServerLHC]
MakeBridge = Callable[..., Any]


@pytest.fixture(scope="module")
def app() -> QApplication:
    instance = QApplication.instance()
    return instance if isinstance(instance, QApplication) else QApplication(["tests"])


@pytest.fixture
def server(make_server: MakeServer) -> ServerLHC:
    server = make_server()
    server.declare_stream("s")
    return server


@pytest.fixture
def make_bridge(app: QApplication, nothing_left_behind: None) -> Any:
    """Make bridges, started and connected unless told otherwise; all are stopped."""
    bridges: list[StreamBridge] = []

    def make(source: Any, stream: str = "s", *, begin: bool = True, **arguments: Any) -> Any:
        bridge = StreamBridge(
            address_of(source) if isinstance(source, ServerLHC) else source, stream, **arguments
        )
        bridges.append(bridge)
        if begin:
            bridge.start()
            spin(lambda: bridge.connected)
        return bridge

    yield make
    for bridge in bridges:
        if not sip.isdeleted(bridge):
            bridge.stop()
            sip.delete(bridge)


def address_of(server: ServerLHC) -> str:
    return f"tcp://127.0.0.1:{server.server_port}"


def spin(until: Callable[[], Any], within_s: float = PATIENCE_S) -> None:
    """Let the event loop run until something is true; fail when that takes too long."""
    loop = QEventLoop()
    deadline = time.monotonic() + within_s
    timer = QTimer()
    timer.timeout.connect(lambda: (until() or time.monotonic() > deadline) and loop.quit())
    timer.start(1)
    loop.exec()
    timer.stop()
    assert until()


def spin_for(seconds: float) -> None:
    """Let the event loop run: for what must not happen."""
    end = time.monotonic() + seconds
    spin(lambda: time.monotonic() >= end)


def publish_all(server: ServerLHC, count: int, pad: int = 0) -> None:
    data = {"pad": "p" * pad}
    for n in range(count):
        server.publish("s", {"n": n, **data})


def adds_up(updates: list[Update], first: int, last: int) -> bool:
    """Received and left out are all there were, in order."""
    position = first
    for update in updates:
        position += update.lost_before
        if update.seq != position:
            return False
        position += 1
    return position == last + 1


def updates_in_memory() -> int:
    gc.collect()
    return sum(type(each) is Update for each in gc.get_objects())


# ---- importing


def test_without_pyqt6_the_import_says_what_to_install() -> None:
    printed = run_script("""
        import sys
        sys.modules["PyQt6"] = None
        import laplace_server.stream_relay
        try:
            import laplace_server.qt
        except ImportError as error:
            print(error.name, "|", error)
    """)
    assert printed.startswith("PyQt6 |")
    assert "pip install '.[qt]' in a clone" in printed


@needs_pyqt6
def test_signal_signatures() -> None:
    meta = StreamBridge.staticMetaObject
    own = range(meta.methodOffset(), meta.methodCount())
    assert {meta.method(i).methodSignature().data() for i in own} == {
        b"update_received(PyQt_PyObject)",
        b"updates_received(PyQt_PyObject)",
        b"connected_changed(bool)",
        b"failed(QString)",
        b"start()",
        b"stop()",
        b"_deliver()",
        b"_go_on()",
    }


@needs_pyqt6
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"source": "localhost"}, ValueError),
        ({"source": 5}, TypeError),
        ({"stream": ""}, TypeError),
        ({"stream": 5}, TypeError),
        ({"start": "first"}, ValueError),
        ({"start": 0}, ValueError),
        ({"start": True}, ValueError),
        ({"credit_bytes": 0}, ValueError),
        ({"interval_ms": -1}, ValueError),
        ({"name": ""}, ValueError),
        ({"timeout_s": 0}, ValueError),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(
    app: QApplication, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        StreamBridge(**{"source": "tcp://127.0.0.1:5555", **arguments})


# ---- the newest update


@needs_pyqt6
def test_updates_arrive_in_the_gui_thread(server: ServerLHC, make_bridge: MakeBridge) -> None:
    bridge = make_bridge(server)
    got: list[Update] = []
    threads: set[int] = set()
    bridge.update_received.connect(got.append)
    bridge.update_received.connect(lambda update: threads.add(threading.get_ident()))
    for n in range(1, 21):
        assert server.publish("s", {"n": n}) == n
        spin(lambda n=n: bool(got) and got[-1].seq == n)
    assert adds_up(got, 1, 20)
    assert all(update.data == {"n": update.seq} for update in got)
    assert {update.epoch for update in got} == {server.epoch}
    assert threads == {threading.get_ident()}
    assert (bridge.shown, bridge.skipped, bridge.lost, bridge.lag) == (20, 0, 0, 0)
    assert (bridge.stream, bridge.address) == ("s", address_of(server))


@needs_pyqt6
def test_a_sleeping_window_is_not_flooded(server: ServerLHC, make_bridge: MakeBridge) -> None:
    total = 100_000
    bridge = make_bridge(server)
    got: list[Update] = []
    bridge.update_received.connect(got.append)
    producer = threading.Thread(target=publish_all, args=(server, total))
    producer.start()
    time.sleep(0.5)  # the window is busy
    producer.join()
    assert got == []
    assert updates_in_memory() <= 3
    QApplication.processEvents()  # all that is in the event queue
    assert len(got) <= 1
    spin(lambda: bool(got) and got[-1].seq == total)
    assert len(got) <= 3
    assert adds_up(got, 1, total)
    assert bridge.shown == len(got)
    assert bridge.shown + bridge.skipped == total
    assert bridge.lost == 0


@needs_pyqt6
def test_what_a_busy_window_gets_is_fresh(server: ServerLHC, make_bridge: MakeBridge) -> None:
    """Not what waited in the event queue since the window became busy."""
    bridge = make_bridge(server)
    got: list[Update] = []
    bridge.update_received.connect(got.append)
    server.publish("s", {})
    relay = bridge._life.relay
    wait_until(lambda: relay._updates, "the first one waits")
    for _ in range(100):
        server.publish("s", {})
    wait_until(lambda: relay._updates[0].seq == 101, "the newest has taken its place")
    spin(lambda: got)
    assert [(update.seq, update.lost_before) for update in got] == [(101, 100)]


@needs_pyqt6
@pytest.mark.parametrize("interval_ms", [0, 30])
def test_the_event_loop_comes_round(
    server: ServerLHC, make_bridge: MakeBridge, interval_ms: int
) -> None:
    """Also where there is always another update when the slot returns."""
    bridge = make_bridge(server, interval_ms=interval_ms)
    happened: list[str] = []
    times: list[float] = []
    done = threading.Event()

    def publish() -> None:
        while not done.is_set():
            server.publish("s", {})

    def slow_slot(update: Update) -> None:
        times.append(time.monotonic())
        time.sleep(0.01)
        happened.append("update")

    bridge.update_received.connect(slow_slot)
    timer = QTimer()
    timer.timeout.connect(lambda: happened.append("timer"))
    timer.start(0)
    producer = threading.Thread(target=publish)
    producer.start()
    try:
        spin(lambda: bridge.shown >= 20)
    finally:
        done.set()
        producer.join()
        timer.stop()
    assert happened.count("timer") >= 20
    pairs = list(itertools.pairwise(happened))
    assert ("update", "update") not in pairs
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps) >= 0.01 + 0.9 * interval_ms / 1000


# ---- all updates


@needs_pyqt6
def test_every_update_arrives_in_batches(server: ServerLHC, make_bridge: MakeBridge) -> None:
    total = 100_000
    bridge = make_bridge(server, latest_only=False)
    batches: list[list[Update]] = []
    single: list[Update] = []
    bridge.updates_received.connect(batches.append)
    bridge.update_received.connect(single.append)
    producer = threading.Thread(target=publish_all, args=(server, total))
    producer.start()
    time.sleep(0.5)
    producer.join()
    assert batches == []
    assert updates_in_memory() <= stream_relay._MAX_BATCH + 1
    spin(lambda: bridge.shown == total)
    assert all(type(batch) is list and 0 < len(batch) <= 4096 for batch in batches)
    assert len(batches) < total / 100
    assert adds_up([update for batch in batches for update in batch], 1, total)
    assert (bridge.lost, bridge.skipped, bridge.lag) == (0, 0, 0)
    assert single == []


@needs_pyqt6
def test_a_slow_window_is_felt_by_the_server(server: ServerLHC, make_bridge: MakeBridge) -> None:
    """Credit, not this process's memory, holds what the window has not taken."""
    size, total = 1 << 20, 40
    bridge = make_bridge(server, latest_only=False, credit_bytes=4 * size)
    got: list[Update] = []
    bridge.updates_received.connect(got.extend)
    array = np.zeros(size, "u1")
    for _ in range(total):
        server.publish("s", {"deep": [{"array": array}]})
    relay = bridge._life.relay
    wait_until(lambda: len(relay._updates) == 4, "as much as may be in memory")
    wait_until(lambda: server.stats().subscribers[0].credit_bytes <= 0, "the server may not send")
    assert server.stats().subscribers[0].sent <= 10
    assert bridge.lag >= 4
    spin(lambda: len(got) == total)
    assert adds_up(got, 1, total)
    assert bridge.lost == 0


@needs_pyqt6
def test_what_left_the_history_is_told(server: ServerLHC, make_bridge: MakeBridge) -> None:
    server.declare_stream("s", history_bytes=100_000)
    total = 30_000
    bridge = make_bridge(server, latest_only=False, credit_bytes=10_000)
    got: list[Update] = []
    bridge.updates_received.connect(got.extend)
    publish_all(server, total, pad=50)
    spin(lambda: bool(got) and got[-1].seq == total)
    assert adds_up(got, 1, total)
    assert bridge.shown == len(got)
    assert bridge.lost == total - len(got) > 0
    assert bridge.skipped == 0


@needs_pyqt6
@pytest.mark.parametrize("latest_only", [True, False])
def test_nothing_is_delivered_while_a_slot_runs(
    server: ServerLHC, make_bridge: MakeBridge, latest_only: bool
) -> None:
    """A slot that shows a dialog is not entered again from the dialog's event loop."""
    bridge = make_bridge(server, latest_only=latest_only)
    signal = bridge.update_received if latest_only else bridge.updates_received
    depth: list[int] = []
    inside = [0]

    def slot(what: Any) -> None:
        inside[0] += 1
        depth.append(inside[0])
        server.publish("s", {})
        spin_for(0.1)
        inside[0] -= 1

    signal.connect(slot)
    server.publish("s", {})
    spin(lambda: len(depth) >= 3 and not inside[0])
    assert set(depth) == {1}


# ---- servers come and go


@needs_pyqt6
def test_a_server_that_is_not_there_yet(
    make_server: MakeServer, make_bridge: MakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = make_server()
    gone.stop()
    address = address_of(gone)
    bridge = make_bridge(address, begin=False, timeout_s=0.1)
    failures: list[str] = []
    states: list[bool] = []
    got: list[Update] = []
    bridge.failed.connect(failures.append)
    bridge.connected_changed.connect(states.append)
    bridge.update_received.connect(got.append)
    begun = time.monotonic()
    bridge.start()
    assert time.monotonic() - begun < within(0.1)
    assert (bridge.running, bridge.connected) == (True, False)
    spin(lambda: failures)
    spin_for(1.5)  # it has tried again, and does not say the same again
    assert len(failures) == 1
    assert address in failures[0]
    assert states == []

    late = make_server(address=address)
    spin(lambda: len(failures) == 2)
    assert "No such stream: 's'" in failures[1]
    late.declare_stream("s")
    spin(lambda: bridge.connected)
    late.publish("s", {"n": 1})
    spin(lambda: got)
    assert states == [True]
    assert len(failures) == 2


@needs_pyqt6
@pytest.mark.parametrize("latest_only", [True, False])
def test_a_restarted_server_is_followed_on(
    make_server: MakeServer, make_bridge: MakeBridge, latest_only: bool
) -> None:
    first = make_server()
    first.declare_stream("s")
    bridge = make_bridge(first, latest_only=latest_only)
    got: list[Update] = []
    bridge.update_received.connect(got.append)
    bridge.updates_received.connect(got.extend)
    publish_all(first, 10)
    spin(lambda: bool(got) and got[-1].seq == 10)
    assert adds_up(got, 1, 10)
    first.stop()
    got.clear()
    second = make_server(address=address_of(first), start=False)
    second.declare_stream("s")
    publish_all(second, 5)
    second.start()
    spin(lambda: bool(got) and got[-1].seq == 5)
    assert {update.epoch for update in got} == {second.epoch} != {first.epoch}
    assert adds_up(got, 1, 5)
    assert bridge.shown + bridge.skipped == 15


@needs_pyqt6
def test_an_update_of_a_former_life_is_not_counted_in_the_next(
    server: ServerLHC, make_bridge: MakeBridge
) -> None:
    """Where one waits while the window is busy and the server, which had two more, restarts."""
    bridge = make_bridge(server)
    got: list[Update] = []
    bridge.update_received.connect(got.append)
    relay = bridge._life.relay
    relay._put(Update(7, 1, 0.0, {}, 6), 6, 0)
    relay._put(Update(9, 1, 0.0, {}, 1), 1, 0)
    relay._put(Update(3, 2, 0.0, {}, 2), 4, 0)
    spin(lambda: got)
    assert got == [Update(3, 2, 0.0, {}, 2)]
    assert (bridge.shown, bridge.skipped) == (1, 9 + 4)


@needs_pyqt6
def test_a_silent_server_is_told(
    make_server: MakeServer, make_bridge: MakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_relay, "_SILENCE_S", 0.2)
    server = make_server()
    server.declare_stream("s")
    bridge = make_bridge(server)
    states: list[bool] = []
    failures: list[str] = []
    bridge.connected_changed.connect(states.append)
    bridge.failed.connect(failures.append)
    spin_for(1.0)  # nothing is published, and yet all is well
    assert (states, failures) == ([], [])
    server.stop()
    spin(lambda: states)
    assert states == [False]
    assert "No answer" in failures[0]
    again = make_server(address=address_of(server))
    again.declare_stream("s")
    spin(lambda: bridge.connected)
    assert states == [False, True]


@needs_pyqt6
def test_an_update_that_cannot_be_read_is_told_and_counted(
    server: ServerLHC, make_bridge: MakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def next_one(self: Subscription, timeout: float | None = None) -> Update:
        raise LaplaceError("no NumPy here")

    bridge = make_bridge(server, latest_only=False)
    failures: list[str] = []
    got: list[Update] = []
    bridge.failed.connect(failures.append)
    bridge.updates_received.connect(got.extend)
    with monkeypatch.context() as patch:
        patch.setattr(Subscription, "next", next_one)
        spin(lambda: failures)
        spin_for(0.5)
    assert failures == ["no NumPy here"]
    server.publish("s", {})
    spin(lambda: got)
    assert bridge.connected


@needs_pyqt6
def test_what_went_wrong_is_told(
    server: ServerLHC, make_bridge: MakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = NameService(monkeypatch)
    bridge = make_bridge(
        f"tcp://pc.lab:{server.server_port}", begin=False, timeout_s=0.2, latest_only=False
    )
    failures: list[str] = []
    bridge.failed.connect(failures.append)
    bridge.start()
    spin(lambda: failures)
    assert "the host name 'pc.lab' is not known" in failures[0]
    service.hosts["pc.lab"] = ["127.0.0.1"]
    spin(lambda: bridge.connected)
    bridge.stop()
    server.stop()
    bridge.start()
    spin(lambda: len(failures) > 1)
    assert "nobody listens there" in failures[1]


@needs_pyqt6
@pytest.mark.parametrize("own", [True, False])
def test_a_slow_look_up_holds_up_no_window(
    own: bool, make_bridge: MakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = NameService(monkeypatch)
    service.hold()
    client = ClientLHC("tcp://slow.lab:5555", timeout_s=3600)
    source = client if own else "tcp://slow.lab:5555"
    bridge = make_bridge(source, begin=False, timeout_s=3600)
    begun = time.monotonic()
    bridge.start()
    relay = bridge._life.relay
    service.wait_asked()
    bridge.stop()
    assert time.monotonic() - begun < within(1)
    relay.join(PATIENCE_S)
    assert time.monotonic() - begun < within(1)
    assert not client.closed
    client.close()
    service.let_go()


@needs_pyqt6
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_are_refused(copied: Any, server: ServerLHC, make_bridge: MakeBridge) -> None:
    bridge = make_bridge(server)
    got: list[Update] = []
    bridge.update_received.connect(got.append)
    with pytest.raises(TypeError, match="make one where it is needed"):
        copied(bridge)
    server.publish("s", {"n": 1})
    spin(lambda: got)


RELAY_FORK = """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from laplace_server.client import ClientLHC
from laplace_server.stream_relay import Relay
client = ClientLHC(sys.argv[1], timeout_s=20)
relay = Relay(client, "s", own_client=True, start="latest", latest_only=True,
              credit_bytes=1 << 20, ring=lambda: None)
held, let_go = threading.Event(), threading.Event()

def hold():
    with relay._changed:
        held.set()
        let_go.wait(20)

threading.Thread(target=hold).start()
held.wait(20)
child = os.fork()
if not child:
    relay.end()  # for which the bridge's end has an exit handler
    os._exit(0 if client.get() == {} else 1)
_, status = os.waitpid(child, 0)
let_go.set()
relay.end()
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child")
def test_a_forked_child_ends_no_thread_of_its_parent(server: ServerLHC) -> None:
    assert run_script(RELAY_FORK, address_of(server)) == "0\n"


# ---- begin and end


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


# Where a crash is possible: in processes of their own.

BEGIN = """
import gc, os, sys, threading, time
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from PyQt6 import sip
from PyQt6.QtCore import QEventLoop, QObject, QTimer
from PyQt6.QtWidgets import QApplication, QWidget
from laplace_server import ServerLHC
from laplace_server.qt import StreamBridge

app = QApplication([])
server = ServerLHC("tested", "tcp://127.0.0.1:*", 0, "CAMERA")
server.start()
server.declare_stream("s", history_count=1000)
address = f"tcp://127.0.0.1:{server.server_port}"

def spin(until):
    loop, timer = QEventLoop(), QTimer()
    timer.timeout.connect(lambda: until() and loop.quit())
    timer.start(0)
    loop.exec()
    timer.stop()
"""


def run_qt(script: str) -> list[str]:
    return run_script(BEGIN + script).split()


@needs_pyqt6
def test_deletion_in_any_way_while_updates_come() -> None:
    printed = run_qt("""
done = False
def publish():
    while not done:
        server.publish("s", {"x": 1.5})
producer = threading.Thread(target=publish)
producer.start()

def by_parent(bridge, parent):
    sip.delete(parent)
def by_itself(bridge, parent):
    sip.delete(bridge)
def later(bridge, parent):
    parent.deleteLater()
    spin(lambda: sip.isdeleted(bridge))
def in_slot(bridge, parent):
    signals = (bridge.update_received, bridge.updates_received)
    for signal in signals:
        signal.connect(lambda update: sip.isdeleted(parent) or sip.delete(parent))
    spin(lambda: sip.isdeleted(bridge))
def in_connected(bridge, parent):
    bridge.stop()
    bridge.connected_changed.connect(lambda connected: sip.delete(bridge))
    bridge.start()
    spin(lambda: sip.isdeleted(bridge))
def closed(bridge, parent):
    parent.setAttribute(__import__("PyQt6.QtCore").QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
    parent.show()
    parent.close()
    spin(lambda: sip.isdeleted(bridge))

for round in range(12):
    for way in (by_parent, by_itself, later, in_slot, in_connected, closed):
        parent = QWidget()
        bridge = StreamBridge(address, "s", latest_only=bool(round % 2), interval_ms=0,
                              parent=parent)
        bridge.start()
        spin(lambda: bridge.shown > round % 3)
        way(bridge, parent)
    # Collected, also by another thread's collector.
    bridge = StreamBridge(address, "s", interval_ms=0)
    bridge.start()
    spin(lambda: bridge.shown)
    bridge.itself = bridge
    del bridge
    collector = threading.Thread(target=gc.collect)
    collector.start()
    collector.join()
    spin(lambda: True)
done = True
producer.join()
deadline = time.monotonic() + 20
while any("relay" in thread.name for thread in threading.enumerate()):
    assert time.monotonic() < deadline, threading.enumerate()
    time.sleep(0.01)
server.stop()
print("done")
""")
    assert printed == ["done"]


@needs_pyqt6
def test_bridges_collected_in_another_thread() -> None:
    """Qt deletes them in their own thread, when the collector has emptied their cycles."""
    printed = run_qt("""
for round in range(20):
    for each in range(50):
        bridge = StreamBridge(address, "s")
        bridge.itself = bridge
    del bridge
    collector = threading.Thread(target=gc.collect)
    collector.start()
    spin(lambda: not collector.is_alive())
    collector.join()
    spin(lambda: True)
server.stop()
print("done")
""")
    assert printed == ["done"]


ENDS = {
    "quit": "bridge.start(); QTimer.singleShot(300, app.quit); app.exec()",
    "window": """
bridge.start()
window = QWidget()
window.show()
QTimer.singleShot(300, window.close)
app.exec()
""",
    "never run": "bridge.start(); time.sleep(0.3)",
    "app gone": "bridge.start(); time.sleep(0.2); del app; gc.collect(); time.sleep(0.2)",
    "no server": """
bridge = StreamBridge("tcp://127.0.0.1:1", "s")
bridge.start()
time.sleep(0.2)
""",
}


@needs_pyqt6
@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
def test_the_program_ends_without_stop(end: str) -> None:
    """Also while updates come, and with the bridge in a global variable."""
    begun = time.monotonic()
    printed = run_qt(f"""
done = threading.Event()
def publish():
    while not done.is_set():
        server.publish("s", {{"x": 1.5}})
producer = threading.Thread(target=publish)
producer.start()
bridge = StreamBridge(address, "s", interval_ms=0)
{end}
done.set()
producer.join()
server.stop()
print("end")
""")
    assert printed == ["end"]
    assert time.monotonic() - begun < within(10)


@needs_pyqt6
def test_the_application_ends_it() -> None:
    printed = run_qt("""
bridge = StreamBridge(address, "s")
bridge.start()
bridge.connected_changed.connect(lambda connected: app.quit())
app.exec()
print(bridge.running)
server.stop()
""")
    assert printed == ["False"]


RAISES = """
def slot(update):
    print("slot", update.seq, flush=True)
    if update.seq == 1:
        server.publish("s", {})
        raise ValueError("from a slot")
    app.quit()
bridge = StreamBridge(address, "s")
bridge.update_received.connect(slot)
bridge.connected_changed.connect(lambda connected: connected and server.publish("s", {}))
bridge.start()
app.exec()
server.stop()
"""


@needs_pyqt6
def test_a_slot_that_raises_with_a_hook() -> None:
    printed = run_qt("sys.excepthook = lambda kind, error, where: print('hook')\n" + RAISES)
    assert printed == ["slot", "1", "hook", "slot", "2"]


@needs_pyqt6
def test_a_slot_that_raises_without_a_hook() -> None:
    """What PyQt6 does by itself, and the module says."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + RAISES],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
    )
    assert done.returncode != 0
    assert "ValueError: from a slot" in done.stderr
    assert done.stdout.split() == ["slot", "1"]
