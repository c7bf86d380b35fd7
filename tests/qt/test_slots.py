"""`signal.connect(server.set_data)`: an exception in a slot would end the PyQt6 program."""

from __future__ import annotations

import importlib.util

import pytest
from support.isolated import run_script

needs_pyqt6 = pytest.mark.skipif(
    importlib.util.find_spec("PyQt6") is None, reason="PyQt6 is not installed"
)

SCRIPT = """
    import logging, os, pathlib, sys
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from PyQt6.QtCore import QCoreApplication, QObject, QTimer, pyqtSignal
    from laplace_server import ServerLHC
    from laplace_server.client import ClientLHC
    from laplace_server.errors import RemoteError

    value = {
        "path": pathlib.PurePosixPath("/data"), "set": {1}, "complex": 1j,
        "bytes": b"x", "object": object(), "key": {b"k": 1}, "deep": None,
    }[sys.argv[1]]
    if sys.argv[1] == "deep":
        value = []
        for _ in range(2000):
            value = [value]

    class Device(QObject):
        new = pyqtSignal(dict)

    application = QCoreApplication([])
    server = ServerLHC("device", "tcp://127.0.0.1:*", 0, "CAMERA", data={"old": 1})
    server.start()
    device = Device()
    device.new.connect(server.set_data)
    QTimer.singleShot(0, lambda: device.new.emit({"v": value}))
    QTimer.singleShot(0, lambda: QTimer.singleShot(0, application.quit))
    application.exec()
    with ClientLHC(f"tcp://127.0.0.1:{server.server_port}") as client:
        for arrays in (False, True):
            try:
                print(client.get(arrays=arrays))
            except RemoteError as error:
                print("error:", str(error)[:9])
        device.new.emit({"v": 2})
        print(client.get())
    server.stop()
"""

SENT = {"path": "{'v': '/data'}", "set": "{'v': [1]}", "complex": "{'v': [0.0, 1.0]}"}
REFUSED = ["bytes", "object", "key", "deep"]


@needs_pyqt6
@pytest.mark.parametrize("kind", [*SENT, *REFUSED])
def test_a_value_that_cannot_be_sent_ends_no_window(kind: str) -> None:
    answer = SENT.get(kind, "error: data['v']")
    assert run_script(SCRIPT, kind).splitlines() == [answer, answer, "{'v': 2}"]
