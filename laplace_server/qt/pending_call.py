"""A call that a ClientBridge carries out."""

from __future__ import annotations

from typing import Any

from PyQt6.QtCore import QObject, pyqtSignal, pyqtSlot

from laplace_server.client.call_queue import CallQueue
from laplace_server.client.calls import Call
from laplace_server.client.not_copied import NotCopied
from laplace_server.client.outbox import News

__all__ = ["PendingCall"]


class PendingCall(QObject):
    """What a method of ClientBridge returns at once; its signals tell what becomes of it.

    They come from the event loop, never while the method runs, so there is time to connect. The
    last is ``ended``, once. After ``cancel()``, none but that comes; after the bridge was closed or
    deleted, none at all. The bridge keeps it until it has ended.
    """

    answered = pyqtSignal(object)
    """What the client's method returns."""
    failed = pyqtSignal(object)
    """What the client's method raises, such as RequestTimeout or RemoteError; ``str()`` of it is
    for a person."""
    progressed = pyqtSignal(object)
    """Of ``move``: the device's data at a look. While the window is busy, the newest only."""
    ended = pyqtSignal()
    """Answered, failed or cancelled."""

    __reduce_ex__ = NotCopied.__reduce_ex__

    def __init__(self, call: Call, queue: CallQueue, address: str) -> None:
        """Called by the bridge."""
        super().__init__()
        self._call = call
        self._queue = queue
        self._address = address
        self._is_cancelled = False
        self._end: News | None = None
        self._value: Any = None

    @property
    def method(self) -> str:
        """The bridge's method that was called, such as "get"."""
        return self._call.method

    @property
    def address(self) -> str:
        """The server's address."""
        return self._address

    @property
    def done(self) -> bool:
        """Whether it was answered, has failed or was cancelled, also by the end of the bridge."""
        return self._end is not None or self.cancelled

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._is_cancelled or (self._end is None and self._queue.ended)

    @property
    def value(self) -> Any:
        """What ``answered`` has told; None before, and where it was not answered."""
        return self._value if self._end is News.ANSWERED else None

    @property
    def error(self) -> Exception | None:
        """What ``failed`` has told; None before, and where it has not failed."""
        return self._value if self._end is News.FAILED else None

    @pyqtSlot()
    def cancel(self) -> None:
        """Have it not sent, or wait for it no more; returns at once. When it is done, it does
        nothing.

        Whether the device carries out what was under way is not known. A device that moves, moves
        on.
        """
        if not self.done:
            self._is_cancelled = True
            self._queue.cancel(self._call)

    def _take(self, news: News, value: Any) -> bool:
        """Take its end from the bridge; False: it was cancelled."""
        if news is News.CANCELLED or self._is_cancelled:
            self._is_cancelled = True
            self._end = News.CANCELLED
            return False
        self._end, self._value = news, value
        return True

    def __repr__(self) -> str:
        state = "pending" if not self.done else "cancelled" if self.cancelled else "done"
        return f"<PendingCall {self.method} of {self._address} {state}>"
