"""ClientBridge: the methods of a client as slots that return at once.

    bridge = ClientBridge("tcp://192.168.1.20:5555", parent=window)
    bridge.failed.connect(lambda call: window.show_trouble(str(call.error)))

    bridge.get().answered.connect(window.show_data)
    go = bridge.move([1.5, 2.0], tolerance=0.01)
    go.progressed.connect(window.show_data)
    go.ended.connect(window.enable_buttons)
    window.halt_button.clicked.connect(bridge.halt)

However many bridges there are, one thread carries their calls out, and no slot waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from PyQt6.QtCore import pyqtSlot

from laplace_server.client.calls import moving, plain
from laplace_server.client.documented import as_of_client
from laplace_server.client.starts import Start
from laplace_server.errors import ClientClosed
from laplace_server.qt.call_bridge import CallBridge
from laplace_server.qt.pending_call import PendingCall
from laplace_server.qt.stream_bridge import StreamBridge
from laplace_server.wire import commands

__all__ = ["ClientBridge"]


class ClientBridge(CallBridge):
    """A client of one device for a window: its methods are ClientLHC's, and return a PendingCall.

    Make and use it in the thread it lives in, the GUI thread as a rule; ``close()`` may be called
    from any. Nothing here waits for the network. The server may be started later, go away and come
    back.

    Calls are carried out one after the other, in the order they were made, and answered in that
    order. Two things are not held up:

    - ``halt`` goes at once. What was called before it and changes something (all but ``get``,
      ``info``, ``ping``, ``stats``, ``describe``) is cancelled where it has not been answered, so
      that nothing is sent after a HALT that was called before it; a move whose device has taken its
      positions ends by what the device says.
    - While a ``move`` is under way, what only reads goes on.

    ``timeout_s`` counts from the call, waiting behind others included: by then there is an answer
    or an error. What had to wait all that time is not sent. At most 1000 calls wait; one more fails
    at once.

    It ends with ``close()``, with the application (``aboutToQuit``), and when it is deleted or
    collected. With a ``parent`` it lives as long as that.

    Args:
        address, name, timeout_s, security: as for ClientLHC.
        parent: the QObject that owns it.

    Raises:
        TypeError, ValueError, ImportError: as ClientLHC, also of each method's arguments.
        RuntimeError: of each method: it is called in another thread.
    """

    # ---- the client's methods

    @pyqtSlot()
    @as_of_client
    def ping(self, *, timeout_s: float | None = None) -> PendingCall:
        return self._begin("ping", commands.PING.name, plain("ping"), timeout_s)

    @pyqtSlot()
    @as_of_client
    def info(self, *, timeout_s: float | None = None) -> PendingCall:
        return self._ask("info", self._requests.info, timeout_s)

    @pyqtSlot()
    @as_of_client
    def get(self, *, arrays: bool = False, timeout_s: float | None = None) -> PendingCall:
        requests = self._requests
        return self._ask("get", requests.get_arrays() if arrays else requests.get, timeout_s)

    @as_of_client
    def set(self, positions: Any, *, timeout_s: float | None = None) -> PendingCall:
        return self._command("set", self._requests.of(commands.SET, positions), timeout_s)

    def move(
        self, positions: Any, *, tolerance: float = 1e-6, timeout_s: float = 60.0
    ) -> PendingCall:
        """Send the device somewhere; it is answered with the data when it is there.

        As ``ClientLHC.move``; in place of its ``progress`` there is the signal ``progressed``. When
        it is cancelled or the bridge ends, the device moves on: ``halt`` stops one that can be.
        """
        work = moving(self._requests, positions, tolerance, timeout_s)
        return self._begin("move", commands.SET.name, work, timeout_s)

    @pyqtSlot()
    @as_of_client
    def halt(self, *, timeout_s: float | None = None) -> PendingCall:
        return self._command("halt", self._requests.halt, timeout_s)

    @as_of_client
    def save(self, path: str | os.PathLike[str], *, timeout_s: float | None = None) -> PendingCall:
        return self._command("save", self._requests.of(commands.SAVE, path), timeout_s)

    @as_of_client
    def opt(self, data: Any, *, timeout_s: float | None = None) -> PendingCall:
        return self._command("opt", self._requests.of(commands.OPT, data), timeout_s)

    @as_of_client
    def scan(self, data: Any, *, timeout_s: float | None = None) -> PendingCall:
        return self._command("scan", self._requests.of(commands.SCAN, data), timeout_s)

    @as_of_client
    def set_actuators(self, actuators: Any, *, timeout_s: float | None = None) -> PendingCall:
        request = self._requests.of(commands.SET_ACT, actuators)
        return self._command("set_actuators", request, timeout_s)

    @as_of_client
    def set_diagnostics(self, diagnostics: Any, *, timeout_s: float | None = None) -> PendingCall:
        request = self._requests.of(commands.SET_DIAG, diagnostics)
        return self._command("set_diagnostics", request, timeout_s)

    @as_of_client
    def update_actuator_positions(
        self, actuators: Any, *, timeout_s: float | None = None
    ) -> PendingCall:
        request = self._requests.of(commands.UPDATE_ACTUATORS_POS, actuators)
        return self._command("update_actuator_positions", request, timeout_s)

    @as_of_client
    def toggle_saving(self, on: bool, *, timeout_s: float | None = None) -> PendingCall:
        request = self._requests.of(commands.TOGGLE_SAVING, on)
        return self._command("toggle_saving", request, timeout_s)

    @pyqtSlot()
    @as_of_client
    def stop_server(self, *, timeout_s: float | None = None) -> PendingCall:
        return self._begin("stop_server", commands.STOP.name, plain("stop_server"), timeout_s)

    @pyqtSlot()
    @as_of_client
    def stats(self, *, timeout_s: float | None = None) -> PendingCall:
        return self._ask("stats", self._requests.stats, timeout_s)

    @as_of_client
    def request(
        self,
        cmd: str,
        payload: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> PendingCall:
        return self._ask("request", self._requests.any(cmd, payload), timeout_s)

    @pyqtSlot()
    @as_of_client
    def describe(self, *, timeout_s: float | None = None) -> PendingCall:
        return self._begin("describe", commands.INFO.name, plain("describe"), timeout_s)

    @as_of_client
    def call(self, cmd: str, /, *, timeout_s: float | None = None, **arguments: Any) -> PendingCall:
        return self._ask("call", self._requests.call(cmd, arguments), timeout_s)

    # ---- streams

    def subscribe(
        self,
        stream: str = "data",
        *,
        start: Start = "latest",
        latest_only: bool = True,
        credit_bytes: int = 16 << 20,
        interval_ms: int = 16,
        name: str | None = None,
    ) -> StreamBridge:
        """Follow a stream: a StreamBridge that has begun, belongs to this bridge and ends with it.

        The arguments are those of StreamBridge. It has a thread of its own.

        Raises:
            ClientClosed: the bridge is closed.
            TypeError, ValueError: an argument is wrong.
        """
        self._check_thread("subscribe")
        if self.closed:
            raise ClientClosed(f"The client of {self.address} is closed.")
        bridge = StreamBridge(
            self.address,
            stream,
            latest_only=latest_only,
            start=start,
            credit_bytes=credit_bytes,
            interval_ms=interval_ms,
            name=self.name if name is None else name,
            timeout_s=self.timeout_s,
            security=self.security,
            parent=self,
        )
        bridge.start()
        return bridge
