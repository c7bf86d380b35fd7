"""StreamBridge: a server's stream, as PyQt6 signals in the GUI thread.

Waiting for updates would block the window, and a signal for each would bury its event queue. A
StreamBridge follows the stream in a thread of its own and brings to the GUI thread as much as that
can take: the newest update each time, or, with ``latest_only=False``, all of them in batches.

    bridge = StreamBridge("tcp://192.168.1.20:5555", "images", parent=window)
    bridge.update_received.connect(window.show_update)
    bridge.connected_changed.connect(window.show_connected)
    bridge.start()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PyQt6 import sip
from PyQt6.QtCore import QObject, pyqtSignal, pyqtSlot

from laplace_server.client import ClientLHC
from laplace_server.client.starts import Start, begin_of
from laplace_server.client.stream_relay import Delivery, Relay
from laplace_server.client.stream_source import StreamSource
from laplace_server.qt.bell import Bell
from laplace_server.qt.bridge import Bridge
from laplace_server.wire.whole_numbers import INT64_MAX, INT_MAX, whole_number

if TYPE_CHECKING:
    from laplace_server.security import ClientSecurity

__all__ = ["StreamBridge"]


class StreamBridge(Bridge):
    """Carries the updates of a stream into the thread it lives in, the GUI thread as a rule.

    Make, start and use it there; only ``stop()`` may be called from any thread. Nothing here waits
    for the network. The server may be started later, go away and come back.

    It ends with ``stop()``, with the application (``aboutToQuit``), and when it is deleted or
    collected. With a ``parent`` it lives as long as that.

    How it does not flood: one event at most waits in the event queue, and the next updates are
    delivered when the slots have returned, ``interval_ms`` have passed and the event loop has come
    round. A slot that runs an event loop of its own, such as a dialog's ``exec()``, holds up the
    deliveries until that returns.

    Args:
        source: whom to follow: the address, ``tcp://host:port``; or a ClientLHC, or NatsDevice of
            laplace_server.relay, which stays yours. When that is closed, the bridge ends with
            ``failed``.
        stream, start, credit_bytes: as for ``ClientLHC.subscribe``.
        latest_only: True, for displays: the newest update each time, by ``update_received``; its
            ``lost_before`` counts the skipped ones. False: every update, by ``updates_received``.
            Where the window is too slow, they wait in the server's history, and what leaves that is
            told by ``lost_before``. About ``2 * credit_bytes`` of memory may be in use here.
        interval_ms: least time from the end of one delivery to the next, in milliseconds.
        name, timeout_s: as for ClientLHC; of no use where ``source`` is one.
        security: as for ClientLHC; where ``source`` is one, it has its own.
        parent: the QObject that owns it.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    update_received = pyqtSignal(object)
    """With ``latest_only``: an ``Update`` of laplace_server.stream."""
    updates_received = pyqtSignal(object)
    """Without ``latest_only``: a list of ``Update``, in order."""
    connected_changed = pyqtSignal(bool)
    """True: the stream is followed. False: the server is silent, gone, or lost the stream."""
    failed = pyqtSignal(str)
    """Why it cannot be followed, or an update not be read; once per reason. It goes on trying."""

    def __init__(
        self,
        source: str | StreamSource,
        stream: str = "data",
        *,
        latest_only: bool = True,
        start: Start = "latest",
        credit_bytes: int = 16 << 20,
        interval_ms: int = 16,
        name: str | None = None,
        timeout_s: float = 2.0,
        security: ClientSecurity | None = None,
        parent: QObject | None = None,
    ) -> None:
        _check(stream, start, credit_bytes, interval_ms)
        if not isinstance(source, StreamSource):
            ClientLHC(source, name, timeout_s, security=security).close()  # it checks them
        elif security is not None:
            raise TypeError("'security' is for an address; a client has that of its own.")
        self._life = life = _Life()
        super().__init__(life.end, parent)
        self._source = source
        self._stream = stream
        self._latest_only = latest_only
        self._start_at = start
        self._credit_bytes = credit_bytes
        self._interval_ms = interval_ms
        self._name = name
        self._timeout_s = timeout_s
        self._security = security
        self._shown = self._missed = 0
        self._connected = False
        self._pace.timeout.connect(self._go_on)

    # ---- what it is doing

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self._stream

    @property
    def address(self) -> str:
        """The server's address."""
        return self._source.address if isinstance(self._source, StreamSource) else self._source

    @property
    def running(self) -> bool:
        """True from ``start()`` to ``stop()``."""
        return self._life.relay is not None

    @property
    def connected(self) -> bool:
        """What ``connected_changed`` said last."""
        return self._connected

    @property
    def shown(self) -> int:
        """Updates delivered since ``start()``."""
        return self._shown

    @property
    def skipped(self) -> int:
        """Updates left out since ``start()`` because newer ones were there; with ``latest_only``.

        ``shown + skipped`` is what was published up to the update shown last.
        """
        return self._missed if self._latest_only else 0

    @property
    def lost(self) -> int:
        """Updates lost since ``start()``; without ``latest_only``."""
        return 0 if self._latest_only else self._missed

    @property
    def lag(self) -> int:
        """Updates published but not delivered, as far as is known here."""
        relay = self._life.relay
        return 0 if relay is None else relay.lag

    # ---- begin and end

    @pyqtSlot()
    def start(self) -> None:
        """Begin to follow, from ``start`` on; counts begin anew. While running, it does nothing."""
        if self.running:
            return
        # Held by the thread that rings it, so the bridge may go meanwhile: Qt posts an event
        # to the bridge's thread, or nothing where the bridge is gone.
        bell = Bell()
        bell.rung.connect(self._deliver)
        relay = Relay(
            self._client(),
            self._stream,
            own_client=not isinstance(self._source, StreamSource),
            start=self._start_at,
            latest_only=self._latest_only,
            credit_bytes=self._credit_bytes,
            ring=bell.ring,
        )
        self._pace.stop()
        self._shown = self._missed = 0
        self._end_with_application(self.stop)
        self._life.relay = relay
        relay.start()

    @pyqtSlot()
    def stop(self) -> None:
        """End; returns at once, and its thread ends by itself. It may be started again.

        Called in the thread the bridge lives in, no update is delivered after it.
        """
        self._life.end()
        self._set_connected(False)

    def _client(self) -> StreamSource:
        if isinstance(self._source, StreamSource):
            return self._source
        return ClientLHC(self._source, self._name, self._timeout_s, security=self._security)

    # ---- delivery

    @pyqtSlot()
    def _deliver(self) -> None:
        """The relay's bell: something is there."""
        relay = self._life.relay
        delivery = None if relay is None else relay.take()
        if relay is None or delivery is None:
            return
        self._emit(relay, delivery)
        if self._follows(relay):
            self._pace.start(self._interval_ms)

    @pyqtSlot()
    def _go_on(self) -> None:
        relay = self._life.relay
        if relay is not None and relay.ready():
            self._deliver()

    def _emit(self, relay: Relay, delivery: Delivery) -> None:
        """Any slot may stop, start or delete this object."""
        if delivery.failure is not None:
            self.failed.emit(delivery.failure)
        if self._follows(relay):
            self._set_connected(delivery.connected)
        if not delivery.updates or not self._follows(relay):
            return
        self._shown += len(delivery.updates)
        self._missed += delivery.missed
        if self._latest_only:
            self.update_received.emit(delivery.updates[-1])
        else:
            self.updates_received.emit(delivery.updates)

    def _follows(self, relay: Relay) -> bool:
        return not sip.isdeleted(self) and self._life.relay is relay

    def _set_connected(self, connected: bool) -> None:
        if connected != self._connected:
            self._connected = connected
            self.connected_changed.emit(connected)


class _Life:
    """The thread of a bridge that may be gone."""

    def __init__(self) -> None:
        self.relay: Relay | None = None

    def end(self) -> None:
        relay, self.relay = self.relay, None
        if relay is not None:
            relay.end()


def _check(stream: str, start: Start, credit_bytes: int, interval_ms: int) -> None:
    if not isinstance(stream, str) or not stream:
        raise TypeError(f"'stream' must be a non-empty str, not {stream!r}.")
    begin_of(start)
    whole_number("credit_bytes", credit_bytes, 1, INT64_MAX)
    whole_number("interval_ms", interval_ms, 0, INT_MAX)
