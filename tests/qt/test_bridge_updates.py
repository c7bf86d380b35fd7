"""StreamBridge: from a real server to slots in the GUI thread, newest or all, and no flood."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import numpy as np
import pytest
from support.isolated import run_script
from support.peers import address_of
from support.qt import HAVE_PYQT6, MakeBridge, needs_pyqt6, spin, spin_for
from support.updates import adds_up, publish_all, updates_in_memory
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import stream_relay
from laplace_server.stream import Update

if HAVE_PYQT6:
    from PyQt6.QtCore import QTimer
    from PyQt6.QtWidgets import QApplication

    from laplace_server.qt import StreamBridge


# ---- importing


def test_without_pyqt6_the_import_says_what_to_install() -> None:
    printed = run_script("""
        import sys
        sys.modules["PyQt6"] = None
        import laplace_server.client.stream_relay
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
        ({"start": True}, TypeError),
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
@pytest.mark.alone
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
@pytest.mark.alone
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
