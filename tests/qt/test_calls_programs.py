"""ClientBridge where a crash is possible: in processes of their own."""

from __future__ import annotations

import time

import pytest
from support.isolated import aborted, run_script
from support.machine import WINDOWS, within
from support.qt import needs_pyqt6

pytestmark = needs_pyqt6

BEGIN = """
import gc, os, sys, threading, time
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from PyQt6 import sip
from PyQt6.QtCore import QEventLoop, QObject, Qt, QThread, QTimer
from PyQt6.QtWidgets import QApplication, QLabel, QWidget
from laplace_server import ServerLHC
from laplace_server.qt import ClientBridge
from support.hanging import WAYS
from support.qt import spin

app = QApplication([])
server = ServerLHC("tested", "tcp://127.0.0.1:*", 1, "MOTOR", data={"positions": [0.0]})
server.start()
address = f"tcp://127.0.0.1:{server.server_port}"

def threads():
    return [each for each in threading.enumerate() if each.name == "client bridges"]
"""


def run_qt(script: str, **extra: str) -> list[str]:
    return run_script(BEGIN + script, **extra).split()


def test_deletion_in_any_way_while_answers_come() -> None:
    printed = run_qt("""
def by_parent(bridge, parent):
    sip.delete(parent)
def by_itself(bridge, parent):
    sip.delete(bridge)
def later(bridge, parent):
    parent.deleteLater()
    spin(lambda: sip.isdeleted(bridge))
def in_slot(bridge, parent):
    bridge.answered.connect(lambda call: sip.isdeleted(parent) or sip.delete(parent))
    spin(lambda: sip.isdeleted(bridge))
def in_slot_of_call(bridge, parent):
    for call in bridge.pending:
        call.ended.connect(lambda: sip.isdeleted(bridge) or sip.delete(bridge))
    spin(lambda: sip.isdeleted(bridge))
def closed(bridge, parent):
    parent.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    parent.show()
    parent.close()
    spin(lambda: sip.isdeleted(bridge))

def show(parent, label):
    return lambda value: label.setText(str(value))  # raises where the label is gone

for round in range(12):
    for way in (by_parent, by_itself, later, in_slot, in_slot_of_call, closed):
        parent = QWidget()
        label = QLabel(parent)
        bridge = ClientBridge(address, parent=parent)
        answers = []
        bridge.answered.connect(answers.append)
        for n in range(30):
            bridge.get().answered.connect(show(parent, label))
            bridge.ping()
        move = bridge.move([0.0])
        move.progressed.connect(show(parent, label))
        spin(lambda: len(answers) > round % 4)
        way(bridge, parent)
    # Collected, also by another thread's collector.
    bridge = ClientBridge(address)
    for n in range(30):
        bridge.get().answered.connect(lambda value, bridge=bridge: bridge.get())
    bridge.itself = bridge
    del bridge, move
    collector = threading.Thread(target=gc.collect)
    collector.start()
    collector.join()
    spin(lambda: True)
spin(lambda: not threads())
server.stop()
print("done")
""")
    assert printed == ["done"]


def test_bridges_collected_in_another_thread() -> None:
    printed = run_qt("""
for round in range(10):
    for each in range(30):
        bridge = ClientBridge(address)
        bridge.itself = bridge
        call = bridge.get()
        call.answered.connect(lambda value, call=call: print(call))
    del bridge, call
    collector = threading.Thread(target=gc.collect)
    collector.start()
    spin(lambda: not collector.is_alive())
    collector.join()
    spin(lambda: True)
spin(lambda: not threads())
server.stop()
print("done")
""")
    assert printed[-1] == "done"


ENDS = {
    "quit": "QTimer.singleShot(200, app.quit); app.exec()",
    "window": """
window = QWidget()
window.show()
QTimer.singleShot(200, window.close)
app.exec()
""",
    "never run": "time.sleep(0.2)",
    "app gone": "time.sleep(0.1); del app; gc.collect(); time.sleep(0.1)",
    "error": "threading.excepthook = print; QTimer.singleShot(100, app.quit); app.exec()",
}


@pytest.mark.alone
@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
def test_the_program_ends_without_close(end: str) -> None:
    """With every way to hang under way, and the bridges in global variables."""
    begun = time.monotonic()
    printed = run_qt(f"""
import contextlib
ways = contextlib.ExitStack()
bridges = [ClientBridge(address, timeout_s=60.0)]
for way in WAYS.values():
    bridges.append(ClientBridge(ways.enter_context(way()), timeout_s=60.0))
for bridge in bridges:
    bridge.move([1.0])
    bridge.halt()
    for n in range(10):
        bridge.get()
{end}
ways.close()
server.stop()
print("end", time.monotonic())
""")
    assert printed[0] == "end"
    assert time.monotonic() - begun < within(20)


@pytest.mark.alone
@pytest.mark.skipif(WINDOWS, reason="its clock is not that of the other process")
def test_nothing_is_waited_for_at_the_end() -> None:
    """From the last line to the end of the process, while a device does not answer."""
    printed = run_qt("""
from support.ports import own_address
bridge = ClientBridge(own_address(), timeout_s=60.0)
bridge.get()
QTimer.singleShot(200, app.quit)
app.exec()
server.stop()
print(bridge.closed, time.monotonic())
""")
    assert printed[0] == "True"
    assert time.monotonic() - float(printed[1]) < within(1)


def test_a_bridge_in_another_thread_than_the_first() -> None:
    """It is told there, and ends there."""
    printed = run_qt("""
class Worker(QThread):
    def run(self):
        bridge = ClientBridge(address)
        bridge.get().answered.connect(self.told)
        self.exec()
        sip.delete(bridge)
    def told(self, data):  # of an object that lives in the first thread
        print(data["positions"], QThread.currentThread() is self.thread(), flush=True)
        self.quit()
worker = Worker()
worker.start()
spin(worker.isFinished)
spin(lambda: not threads())
server.stop()
print("done")
""")
    assert printed == ["[0.0]", "True", "done"]


RAISES = """
def slot(call):
    print("slot", call.method, flush=True)
    if call.method == "get":
        raise ValueError("from a slot")
    app.quit()
bridge = ClientBridge(address)
bridge.answered.connect(slot)
bridge.get()
bridge.ping()
app.exec()
server.stop()
"""


def test_a_slot_that_raises_with_a_hook() -> None:
    printed = run_qt("sys.excepthook = lambda kind, error, where: print('hook')\n" + RAISES)
    assert printed == ["slot", "get", "hook", "slot", "ping"]


def test_a_slot_that_raises_without_a_hook() -> None:
    """What PyQt6 does by itself, and the module says."""
    # Under Python 3.10 what pytest needs has a hook of its own.
    done = aborted(BEGIN + "sys.excepthook = sys.__excepthook__\n" + RAISES)
    assert "ValueError: from a slot" in done.stderr
    assert done.stdout.split() == ["slot", "get"]
