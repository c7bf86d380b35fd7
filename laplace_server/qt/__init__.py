"""Bridges for PyQt6 windows: ClientBridge asks devices, StreamBridge and FleetBridge follow them.

    stage = ClientBridge("tcp://192.168.1.20:5555", parent=window)
    stage.get().answered.connect(window.show_data)
    stage.failed.connect(lambda call: window.show_trouble(call.error))

    images = StreamBridge("tcp://192.168.1.21:5555", "images", parent=window)
    images.update_received.connect(window.show_update)
    images.start()

An exception in a slot aborts a PyQt6 program: PyQt prints it and calls qFatal(). Where the program
has set a ``sys.excepthook`` of its own, PyQt calls that instead, and bridge and program go on. What
answers and updates hold comes from another program, so a slot should expect anything.
"""

from __future__ import annotations

from laplace_server.wire.extras import how_to_install

try:
    from PyQt6 import QtCore as _QtCore  # noqa: F401
    from PyQt6 import sip as _sip  # noqa: F401
except ImportError as error:
    raise ImportError(
        "laplace_server.qt needs PyQt6, which cannot be imported "
        f"({error}). {how_to_install('qt')}",
        name="PyQt6",
    ) from error

from laplace_server.qt.client_bridge import ClientBridge
from laplace_server.qt.fleet_bridge import FleetBridge
from laplace_server.qt.pending_call import PendingCall
from laplace_server.qt.stream_bridge import StreamBridge

__all__ = ["ClientBridge", "FleetBridge", "PendingCall", "StreamBridge"]
