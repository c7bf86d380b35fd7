"""StreamBridge where a crash is possible: in processes of their own."""

from __future__ import annotations

import time

import pytest
from support.isolated import aborted, run_script
from support.machine import within
from support.qt import HAVE_PYQT6, needs_pyqt6

if HAVE_PYQT6:
    pass


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
    done = aborted(BEGIN + RAISES)
    assert "ValueError: from a slot" in done.stderr
    assert done.stdout.split() == ["slot", "1"]
