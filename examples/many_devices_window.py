"""A PyQt6 window for many devices, which does not freeze whatever one of them does.

    pip install '.[qt]'  # in a clone of the repository
    python many_devices_window.py --simulate      three motors, and one that does not answer
    python many_devices_window.py --address tcp://192.168.1.20:5555 tcp://192.168.1.21:5555

Each line polls its device, moves its first axis and halts it, by a ClientBridge; one thread does
that for all. Keys are those of `laplace-server keys trust ADDRESS FILE`, if any.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from typing import Any

from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtWidgets import (
    QApplication,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from laplace_server.qt import ClientBridge, PendingCall
from laplace_server.security import ClientSecurity
from laplace_server.sim import SimulatedMotor

POLL_MS = 100


def plain_label(width: int, text: str = "") -> QLabel:
    """A label that shows what devices send as it is, also when it looks like HTML."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setFixedWidth(width)
    label.setWordWrap(True)
    return label


def shown(positions: Any) -> str:
    """Positions as text. Another program sent them, so they may be anything."""
    if not isinstance(positions, list):
        return ""
    return "  ".join(f"{each:.3f}" if isinstance(each, float) else "?" for each in positions[:4])


class DeviceLine(QWidget):
    """One device: where it is, what became of the last request, and where it shall go."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.bridge = ClientBridge(
            address, timeout_s=1.0, security=ClientSecurity.find(address), parent=self
        )
        self.bridge.answered.connect(self.show_answer)
        self.bridge.failed.connect(self.show_failure)

        self.positions, self.state = plain_label(120), plain_label(420)
        self.target = QDoubleSpinBox()
        self.target.setRange(-50.0, 50.0)
        self.go, self.halt = QPushButton("go"), QPushButton("halt")
        self.go.clicked.connect(self.move_there)
        self.halt.clicked.connect(self.bridge.halt)
        line = QHBoxLayout(self)
        line.addWidget(plain_label(140, address.removeprefix("tcp://")))
        for widget in (self.positions, self.target, self.go, self.halt, self.state):
            line.addWidget(widget)

        # The next when this has ended: a device that hangs is not asked again and again.
        self.pause = QTimer(self)
        self.pause.setSingleShot(True)
        self.pause.setInterval(POLL_MS)
        self.pause.timeout.connect(self.poll)
        self.poll()

    def poll(self) -> None:
        call = self.bridge.get()
        call.answered.connect(self.show_data)
        call.ended.connect(self.pause.start)

    def move_there(self) -> None:
        call = self.bridge.move({"0": self.target.value()}, tolerance=0.01)
        call.progressed.connect(self.show_data)
        self.go.setEnabled(False)
        call.ended.connect(lambda: self.go.setEnabled(True))

    def show_data(self, data: dict[str, Any]) -> None:
        self.positions.setText(shown(data.get("positions")))

    def show_answer(self, call: PendingCall) -> None:
        if call.method == "move":
            print(f"{call.address}: arrived at {shown(call.value.get('positions'))}", flush=True)
        moves_on = call.method != "move" and not self.go.isEnabled()
        self.state.setText("moving" if moves_on else "")

    def show_failure(self, call: PendingCall) -> None:
        if call.method != "get":
            print(f"{call.address}: {call.method} failed: {call.error}", flush=True)
        self.state.setText(f"{call.error}"[:200])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", nargs="+", default=["tcp://127.0.0.1:5555"])
    parser.add_argument("--simulate", action="store_true", help="show simulated motors")
    parser.add_argument("--go", type=float, metavar="MM", help="send all there at once")
    parser.add_argument("--seconds", type=float, help="close after this time (default: never)")
    options = parser.parse_args()

    app = QApplication(sys.argv[:1])
    # The lines' timers enter Python many times a second, which is when Ctrl-C is noticed.
    signal.signal(signal.SIGINT, lambda *_: QTimer.singleShot(0, app.closeAllWindows))
    with contextlib.ExitStack() as motors:
        addresses = options.address
        if options.simulate:
            made = [motors.enter_context(SimulatedMotor(f"motor {n}", axes=1)) for n in range(3)]
            addresses = [f"tcp://127.0.0.1:{motor.server.server_port}" for motor in made]
            addresses.append("tcp://127.0.0.1:1")
        window = QWidget()
        window.setWindowTitle("Devices")
        column = QVBoxLayout(window)
        lines = [DeviceLine(address) for address in addresses]
        for line in lines:
            column.addWidget(line)
            if options.go is not None:
                line.target.setValue(options.go)
                line.move_there()
        if options.seconds is not None:
            QTimer.singleShot(int(options.seconds * 1000), window.close)
        window.show()
        status = app.exec()
    print("devices: closed", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
