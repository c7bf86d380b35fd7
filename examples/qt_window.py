"""A PyQt6 window around a server: it shows the positions and moves when a client says so.

    pip install '.[qt]'  # in a clone of the repository
    python qt_window.py
    python qt_window.py --keys stage-keys     a folder of `laplace-server keys`

The server's callbacks run in the server's thread; ServerController brings them to the window's
thread as signals. Reads (GET) never wait for the window, even while it is busy.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import Any

from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtGui import QCloseEvent
from PyQt6.QtWidgets import (
    QApplication,
    QCheckBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from laplace_server import ServerLHC
from laplace_server.protocol import DEVICE_MOTOR
from laplace_server.security import ServerSecurity
from laplace_server.server_controller import ServerController

AXES = ("x", "y", "z")
SPEED = 5.0  # mm/s
LIMIT = 100.0  # mm, on either side of zero
PERIOD_MS = 40


def plain_label(text: str) -> QLabel:
    """A label that shows what clients send as it is, also when it looks like HTML."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label


class StageWindow(QWidget):
    """Shows and simulates a stage, and owns the server that tells others about it."""

    def __init__(self, address: str, security: ServerSecurity | None) -> None:
        super().__init__()
        self.setWindowTitle("Stage")
        self.positions = [0.0] * len(AXES)
        self.server = ServerLHC(
            name="stage",
            address=address,
            freedom=len(AXES),
            device=DEVICE_MOTOR,
            data={"positions": list(self.positions)},
            security=security,
        )
        self.build()
        self.connect_server()
        self.server.start()
        self.status.setText(f"serving on port {self.server.server_port}")

        self.last = time.monotonic()
        self.timer = QTimer(self)
        self.timer.timeout.connect(self.step)
        self.timer.start(PERIOD_MS)

    def build(self) -> None:
        self.readings = [QLabel() for _ in AXES]
        self.targets = [QDoubleSpinBox() for _ in AXES]
        axes = QGroupBox("Positions (mm)")
        form = QFormLayout(axes)
        for axis, reading, target in zip(AXES, self.readings, self.targets, strict=True):
            reading.setMinimumWidth(80)
            target.setRange(-LIMIT, LIMIT)
            target.setDecimals(3)
            target.setSingleStep(0.1)
            row = QHBoxLayout()
            row.addWidget(reading)
            row.addWidget(QLabel("target"))
            row.addWidget(target)
            form.addRow(axis, row)

        self.saving = QCheckBox("save")
        self.path = plain_label("no path yet")
        saving = QHBoxLayout()
        saving.addWidget(self.saving)
        saving.addWidget(self.path, stretch=1)

        self.status = plain_label("")
        layout = QVBoxLayout(self)
        layout.addWidget(axes)
        layout.addLayout(saving)
        layout.addWidget(self.status)
        self.show_positions()

    def connect_server(self) -> None:
        self.controller = ServerController(self)
        self.server.set_on_position_changed(self.controller.on_position_changed)
        self.server.set_on_saving_path_changed(self.controller.on_saving_path_changed)
        self.server.set_on_saving_status_toggled(self.controller.on_saving_status_toggled)

        self.controller.position_changed.connect(self.move_to)
        self.controller.saving_path_changed.connect(self.path.setText)
        self.controller.saving_status_toggled.connect(self.saving.setChecked)

    def move_to(self, positions: list[Any]) -> None:
        """Take over what a client sent: one entry per axis, None for "leave it".

        A client can send anything, and an exception here would abort the program.
        """
        wanted = dict(enumerate(positions))
        for axis, value in wanted.items():
            if value is None:
                continue
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if axis >= len(AXES) or not number or not abs(value) <= LIMIT:
                self.status.setText(f"refused position {value!r:.40} for axis {axis}")
                return
        for axis, value in wanted.items():
            if value is not None:
                self.targets[axis].setValue(value)

    def step(self) -> None:
        """Move the simulated axes and hand the new positions to the server."""
        if not self.server.is_alive():  # a client sent STOP
            self.close()
            return
        now = time.monotonic()
        reach = SPEED * (now - self.last)
        self.last = now
        self.positions = [
            position + max(-reach, min(reach, target.value() - position))
            for position, target in zip(self.positions, self.targets, strict=True)
        ]
        self.show_positions()
        self.server.set_data({"positions": list(self.positions), "saving": self.saving.isChecked()})

    def show_positions(self) -> None:
        for reading, position in zip(self.readings, self.positions, strict=True):
            reading.setText(f"{position:.3f}")

    def closeEvent(self, event: QCloseEvent | None) -> None:
        # The server's thread keeps the process alive until it is stopped.
        self.timer.stop()
        self.server.stop()
        super().closeEvent(event)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="tcp://127.0.0.1:5555")
    parser.add_argument("--keys", metavar="FOLDER", help="whom to serve (default: everybody)")
    parser.add_argument("--seconds", type=float, help="close after this time (default: never)")
    options = parser.parse_args()

    app = QApplication(sys.argv[:1])
    # The window's timer enters Python many times a second, which is when Ctrl-C is noticed.
    signal.signal(signal.SIGINT, lambda *_: QTimer.singleShot(0, app.closeAllWindows))
    security = ServerSecurity.from_folder(options.keys) if options.keys else None
    window = StageWindow(options.address, security)
    print(f"stage: listening on port {window.server.server_port}", flush=True)
    if options.seconds is not None:
        QTimer.singleShot(int(options.seconds * 1000), window.close)
    window.show()
    status = app.exec()
    print("stage: stopped", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
