"""How a bridge has calls carried out: it hands them on at once, and tells what became of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PyQt6 import sip
from PyQt6.QtCore import QMetaObject, QObject, Qt, QThread, pyqtSignal, pyqtSlot

from laplace_server.client import ClientLHC
from laplace_server.client.call_queue import CallQueue
from laplace_server.client.calls import Call, Work, asking
from laplace_server.client.outbox import News, Told
from laplace_server.client.requests import Request, seconds_of
from laplace_server.protocol import LOGGER_NAME
from laplace_server.qt.bell import Bell
from laplace_server.qt.bridge import Bridge
from laplace_server.qt.pending_call import PendingCall
from laplace_server.qt.stream_bridge import StreamBridge
from laplace_server.wire.logs import Log

if TYPE_CHECKING:
    from laplace_server.client.asyncio.client import AsyncClientLHC
    from laplace_server.security import ClientSecurity

__all__ = ["CallBridge"]

log = Log(LOGGER_NAME)


class CallBridge(Bridge):
    """Its life, its calls and its signals; which calls there are is the derived class's affair."""

    answered = pyqtSignal(object)
    """A PendingCall was answered; comes after its own signal, for what all calls have in common."""
    failed = pyqtSignal(object)
    """A PendingCall has failed. Where nobody is connected to this nor to the call's own signal, it
    is logged, once for each method and kind of failure in a row."""

    def __init__(
        self,
        address: str,
        name: str | None = None,
        timeout_s: float = 2.0,
        *,
        security: ClientSecurity | None = None,
        parent: QObject | None = None,
    ) -> None:
        # It checks the arguments, and makes requests; closed, it asks nobody.
        self._client = client = ClientLHC(address, name, timeout_s, security=security)
        client.close()
        bell = Bell()  # held by the thread that rings it
        self._queue = queue = CallQueue(client.address, _maker(client), bell.ring)
        super().__init__(queue.end, parent)
        bell.rung.connect(self._deliver_soon)
        self._requests = client._requests
        self._calls: dict[Call, PendingCall] = {}
        self._closings = 0
        self._logged: dict[str, type] = {}  # the kind of failure of a method that was logged last
        self._pace.timeout.connect(self._deliver)

    # ---- whom it asks

    @property
    def address(self) -> str:
        """The server's address."""
        return self._client.address

    @property
    def name(self) -> str:
        """What the client calls itself."""
        return self._client.name

    @property
    def timeout_s(self) -> float:
        """How long a call waits unless it says otherwise, in seconds."""
        return self._client.timeout_s

    @property
    def security(self) -> ClientSecurity | None:
        """The keys by which the client and the server know each other, if they do."""
        return self._client.security

    @property
    def closed(self) -> bool:
        """True once it has ended."""
        return self._queue.ended

    @property
    def pending(self) -> list[PendingCall]:
        """The calls that have not ended, in order."""
        return [call for call in self._calls.values() if not call.done]

    # ---- the end

    @pyqtSlot()
    def close(self) -> None:
        """End all calls; returns at once. Again does nothing.

        Called in the thread the bridge lives in, no signal of its calls comes after it, and its
        streams have ended; called in another, they do so soon. What is called later fails with
        ClientClosed.
        """
        self._queue.end()
        if QThread.currentThread() is not self.thread():
            QMetaObject.invokeMethod(self, "close", Qt.ConnectionType.QueuedConnection)
            return
        for stream in self.findChildren(StreamBridge):
            stream.stop()
        self._closings += 1
        self._calls.clear()

    # ---- inside

    def _ask(self, method: str, request: Request[Any], timeout_s: float | None) -> PendingCall:
        return self._begin(method, request.cmd, asking(request, True), timeout_s)

    def _command(self, method: str, request: Request[Any], timeout_s: float | None) -> PendingCall:
        return self._begin(method, request.cmd, asking(request, False), timeout_s)

    def _begin(self, method: str, cmd: str, work: Work, timeout_s: float | None) -> PendingCall:
        seconds = self.timeout_s if timeout_s is None else seconds_of(timeout_s)
        self._check_thread(method)
        self._end_with_application(self.close)
        call = Call(method, cmd, work, seconds)
        pending = self._calls[call] = PendingCall(call, self._queue, self.address)
        self._queue.begin(call)
        return pending

    def _check_thread(self, method: str) -> None:
        if QThread.currentThread() is not self.thread():
            text = f"{method}() of a {type(self).__name__} was called in another thread than its."
            raise RuntimeError(f"{text} Emit a signal there that is connected to it.")

    @pyqtSlot()
    def _deliver_soon(self) -> None:
        self._pace.start(0)

    @pyqtSlot()
    def _deliver(self) -> None:
        """Tell one piece of news, so that the event loop comes round after each."""
        told = self._queue.take()
        if told is not None:
            self._deliver_soon()  # first: a slot may raise, or run an event loop of its own
            self._tell(told)

    def _tell(self, told: Told) -> None:
        """Any slot may call, cancel, close or delete this object, or the call."""
        pending = self._calls.get(told.call)
        if pending is None:  # it was closed meanwhile
            return
        if told.news is News.PROGRESS:
            if not (pending.cancelled or sip.isdeleted(pending)):
                pending.progressed.emit(told.value)
            return
        del self._calls[told.call]
        closings = self._closings
        if pending._take(told.news, told.value):
            has_failed = told.news is News.FAILED
            if has_failed:
                self._log_unheard(pending)
            else:
                self._logged.pop(pending.method, None)
            if not sip.isdeleted(pending):
                (pending.failed if has_failed else pending.answered).emit(told.value)
            if not self._has_ended(closings):
                (self.failed if has_failed else self.answered).emit(pending)
        if not (self._has_ended(closings) or sip.isdeleted(pending)):
            pending.ended.emit()

    def _has_ended(self, closings: int) -> bool:
        return sip.isdeleted(self) or self._closings != closings

    def _log_unheard(self, pending: PendingCall) -> None:
        """Once for each kind of failure, until the method is answered again."""
        heard = 0 if sip.isdeleted(pending) else pending.receivers(pending.failed)
        kind = type(pending.error)
        if (
            not heard
            and not self.receivers(self.failed)
            and self._logged.get(pending.method) != kind
        ):
            self._logged[pending.method] = kind
            log.warning("%s of %s failed: %s", pending.method, self.address, pending.error)


def _maker(client: ClientLHC) -> Callable[[], AsyncClientLHC]:
    """Return what makes a client for the loop, as another one is."""
    address, name, timeout_s = client.address, client.name, client.timeout_s
    security = client.security

    def make() -> AsyncClientLHC:
        from laplace_server.client.asyncio.client import AsyncClientLHC

        return AsyncClientLHC(address, name, timeout_s, security=security)

    return make
