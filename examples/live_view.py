"""A PyQt6 window that shows the images of a stream as they come, however fast they come.

    pip install '.[qt,arrays]'  # in a clone of the repository
    python live_view.py --simulate          a simulated camera, 200 images/s
    python live_view.py --address tcp://192.168.1.20:5555 --stream images

The window takes the newest image each time and tells how many it has skipped; with --every it takes
all of them and shows the last of each batch. The server may start later, and come back. Keys are
those of `laplace-server keys trust ADDRESS FILE`, if any.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from typing import Any

import numpy as np
from PyQt6.QtCore import QPointF, QRectF, Qt, QTimer
from PyQt6.QtGui import (
    QCloseEvent,
    QColor,
    QFontMetricsF,
    QImage,
    QLinearGradient,
    QPainter,
    QPaintEvent,
)
from PyQt6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from laplace_server import ServerLHC
from laplace_server.protocol import DEVICE_CAMERA
from laplace_server.qt import StreamBridge
from laplace_server.security import ClientSecurity
from laplace_server.stream import Update

STATUS_MS = 250
MOST_PIXELS = 1024  # on a side; of larger images every second, third, … pixel is shown
COLOURS = ("#000004", "#3b0f70", "#8c2981", "#de4968", "#fe9f6d", "#fcfdbf")  # of dark to bright
GREEN, ORANGE = "#4caf50", "#e69138"


def colour_table() -> list[int]:
    """256 colours, as QImage takes them."""
    anchors = np.array([QColor(name).getRgb()[:3] for name in COLOURS], float)
    at = np.linspace(0, len(COLOURS) - 1, 256)
    red, green, blue = (
        np.interp(at, np.arange(len(COLOURS)), channel).astype(int) for channel in anchors.T
    )
    table: list[int] = (0xFF000000 | red << 16 | green << 8 | blue).tolist()
    return table


def image_in(data: dict[str, Any], field: str) -> np.ndarray[Any, Any] | None:
    """The image of an update: rows of numbers. Another program sent it, so it may be anything."""
    try:
        image = np.asarray(data[field])
    except (KeyError, ValueError, TypeError):
        return None
    if image.ndim != 2 or not image.size or image.dtype.kind not in "buif":
        return None
    step = -(-max(image.shape) // MOST_PIXELS)
    return image[::step, ::step]


class ImageView(QWidget):
    """An image in false colours, from its least to its greatest value, with a scale beside it."""

    MARGIN, SCALE_WIDTH = 12.0, 14.0

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(480, 360)
        self.text = "waiting for the first image"
        self.image = QImage()
        self.limits = (0.0, 1.0)
        self.colours = colour_table()

    def show_array(self, values: np.ndarray[Any, Any]) -> None:
        with np.errstate(all="ignore"):  # whatever numbers there are
            values = np.nan_to_num(values.astype(np.float32))
            low, high = float(values.min()), float(values.max())
            levels = ((values - low) * (255.0 / ((high - low) or 1.0))).astype(np.uint8)
        rows, columns = levels.shape
        indexed = QImage.Format.Format_Indexed8
        image = QImage(levels.tobytes(), columns, rows, columns, indexed).copy()
        image.setColorTable(self.colours)
        self.image, self.limits = image, (low, high)
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor("#16161a"))
        painter.setPen(QColor("#c8c8d0"))
        if self.image.isNull():
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.text)
            return
        labels = [f"{limit:.4g}" for limit in self.limits]
        metrics = QFontMetricsF(self.font())
        beside = max(map(metrics.horizontalAdvance, labels)) + self.SCALE_WIDTH + 2 * self.MARGIN
        space = QRectF(self.rect()).adjusted(
            self.MARGIN, self.MARGIN, -beside - self.MARGIN, -self.MARGIN
        )
        size = self.image.size().toSizeF()
        size.scale(space.size(), Qt.AspectRatioMode.KeepAspectRatio)
        place = QRectF(QPointF(), size)
        place.moveCenter(space.center())
        painter.drawImage(place, self.image)

        scale = QRectF(place.right() + self.MARGIN, place.top(), self.SCALE_WIDTH, place.height())
        gradient = QLinearGradient(scale.bottomLeft(), scale.topLeft())
        for index, name in enumerate(COLOURS):
            gradient.setColorAt(index / (len(COLOURS) - 1), QColor(name))
        painter.fillRect(scale, gradient)
        right = scale.right() + self.MARGIN / 2
        painter.drawText(QPointF(right, scale.bottom() - metrics.descent()), labels[0])
        painter.drawText(QPointF(right, scale.top() + metrics.ascent()), labels[1])


class LiveView(QWidget):
    """The images of a stream, and a line that tells how it goes."""

    def __init__(
        self,
        address: str,
        stream: str,
        field: str,
        every: bool,
        security: ClientSecurity | None = None,
    ) -> None:
        super().__init__()
        self.setWindowTitle(f"{stream} - {address}")
        self.field = field
        self.last: Update | None = None
        self.counted = (time.monotonic(), 0, 0)
        self.view = ImageView()
        self.lamp, self.place, self.figures = QLabel("●"), QLabel(), QLabel("not connected yet")
        for label in (self.place, self.figures):
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.place.setText(f"{stream} of {address}")
        self.figures.setAlignment(Qt.AlignmentFlag.AlignRight)
        # A long message does not widen the window.
        self.figures.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        status = QHBoxLayout()
        status.setContentsMargins(12, 6, 12, 8)
        status.setSpacing(8)
        status.addWidget(self.lamp)
        status.addWidget(self.place)
        status.addWidget(self.figures, stretch=1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.view, stretch=1)
        layout.addLayout(status)
        self.resize(760, 600)

        self.bridge = StreamBridge(
            address, stream, latest_only=not every, security=security, parent=self
        )
        self.bridge.update_received.connect(self.show_update)
        self.bridge.updates_received.connect(lambda updates: self.show_update(updates[-1]))
        self.bridge.connected_changed.connect(self.show_connected)
        self.bridge.failed.connect(self.figures.setText)
        self.show_connected(False)
        self.bridge.start()

        self.timer = QTimer(self)
        self.timer.timeout.connect(self.show_figures)
        self.timer.start(STATUS_MS)

    def show_update(self, update: Update) -> None:
        image = image_in(update.data, self.field)
        if image is None:
            self.view.text = f"no image {self.field!r} in the updates"
            self.view.update()
        else:
            self.view.show_array(image)
        if self.last is None:
            print(f"live view: first update {update.seq}", flush=True)
        elif update.epoch != self.last.epoch:
            print("live view: the server was restarted", flush=True)
        self.last = update

    def show_connected(self, connected: bool) -> None:
        self.lamp.setStyleSheet(f"color: {GREEN if connected else ORANGE}")

    def show_figures(self) -> None:
        if not self.bridge.connected or self.last is None:
            return
        now, shown = time.monotonic(), self.bridge.shown
        missed = self.bridge.skipped + self.bridge.lost
        since, shown_then, missed_then = self.counted
        if now - since < 4 * STATUS_MS / 1000:
            return
        self.counted = (now, shown, missed)
        seen = (shown - shown_then) / (now - since)
        published = seen + (missed - missed_then) / (now - since)
        self.figures.setText(
            f"seq {self.last.seq:,}    {seen:.0f} of {published:.0f} images/s    "
            f"skipped {self.bridge.skipped:,}    lost {self.bridge.lost:,}"
        )

    def closeEvent(self, event: QCloseEvent | None) -> None:
        self.timer.stop()
        self.bridge.stop()
        super().closeEvent(event)


class SimulatedCamera:
    """Publishes images of a wandering spot, each with its own noise."""

    SHAPE = (480, 640)
    NOISES = 16

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self.ending = threading.Event()
        self.server = ServerLHC(
            name="camera", address="tcp://127.0.0.1:*", freedom=0, device=DEVICE_CAMERA
        )
        # A second of images, for whoever joins late or stumbles.
        self.server.declare_stream("images", history_count=max(1, round(rate_hz)))
        self.thread = threading.Thread(target=self.run, name="simulated camera")

    def start(self) -> None:
        self.server.start()
        self.thread.start()

    def stop(self) -> None:
        self.ending.set()
        self.thread.join()
        self.server.stop()

    def run(self) -> None:
        rows, columns = self.SHAPE
        noise = np.random.default_rng(1).normal(100.0, 12.0, (self.NOISES, rows, columns))
        noise = noise.astype(np.float32)
        across, down = np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32)
        begin = time.monotonic()
        shot = 0
        while not self.ending.wait(max(0.0, begin + shot / self.rate_hz - time.monotonic())):
            seconds = shot / self.rate_hz
            # A Gaussian is the product of one along the columns and one along the rows.
            column = columns * (0.5 + 0.22 * np.sin(0.9 * seconds))
            row = rows * (0.5 + 0.22 * np.cos(0.7 * seconds))
            spot = np.exp(-(((down[:, None] - row) / 50) ** 2)) * np.exp(
                -(((across - column) / 75) ** 2)
            )
            image = (noise[shot % self.NOISES] + 3000 * spot).astype(np.uint16)
            shot += 1
            self.server.publish("images", {"shot": shot, "image": image})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="tcp://127.0.0.1:5555")
    parser.add_argument("--stream", default="images")
    parser.add_argument("--field", default="image", help="of an update: rows of numbers")
    parser.add_argument("--every", action="store_true", help="take every image")
    parser.add_argument("--simulate", action="store_true", help="follow a simulated camera")
    parser.add_argument("--rate", type=float, default=200.0, help="of that, in images/s")
    parser.add_argument("--seconds", type=float, help="close after this time (default: never)")
    options = parser.parse_args()

    app = QApplication(sys.argv[:1])
    # The window's timer enters Python some times a second, which is when Ctrl-C is noticed.
    signal.signal(signal.SIGINT, lambda *_: QTimer.singleShot(0, app.closeAllWindows))
    address, security = options.address, None
    camera = SimulatedCamera(options.rate) if options.simulate else None
    if camera is None:
        security = ClientSecurity.find(address)
    else:
        address = f"tcp://127.0.0.1:{camera.server.server_port}"
        camera.start()
    try:
        window = LiveView(address, options.stream, options.field, options.every, security)
        print(f"live view: following {options.stream!r} of {address}", flush=True)
        if options.seconds is not None:
            QTimer.singleShot(int(options.seconds * 1000), window.close)
        window.show()
        status = app.exec()
    finally:
        if camera is not None:
            camera.stop()
    bridge = window.bridge
    print(f"live view: shown {bridge.shown}, skipped {bridge.skipped}, lost {bridge.lost}")
    return status


if __name__ == "__main__":
    sys.exit(main())
