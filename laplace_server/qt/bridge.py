"""What bridges have in common: how they end, and when they look what there is."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from PyQt6.QtCore import QCoreApplication, QObject, Qt, QTimer

from laplace_server.client.not_copied import NotCopied

__all__ = ["Bridge"]


class Bridge(QObject):
    """It ends with its parent and the application, and when it is deleted or collected.

    Args:
        end: ends what works for it in another thread, and waits for nothing; called from any
            thread, any number of times. Neither it nor that thread refers to this object, so it can
            be collected.
        parent: the QObject that owns it.
    """

    __reduce_ex__ = NotCopied.__reduce_ex__

    def __init__(self, end: Callable[[], None], parent: QObject | None) -> None:
        super().__init__(parent)
        self._quits_with_application = False
        weakref.finalize(self, end)
        # A bound method: PyQt holds a function's slot so that a collection can empty it before
        # another thread's `destroyed` calls it. Direct: what waits for this thread is lost where
        # the bridge was moved to another one and is deleted there.
        direct = Qt.ConnectionType.DirectConnection
        self.destroyed.connect(end, direct)  # type: ignore[call-arg]  # PyQt's stubs lack it
        # A timer lets the event loop come round; an event posted from a slot would be next.
        self._pace = QTimer(self)
        self._pace.setSingleShot(True)

    def _end_with_application(self, slot: Callable[[], None]) -> None:
        """Have a slot of this object called when the application is about to quit."""
        application = QCoreApplication.instance()
        if application is not None and not self._quits_with_application:
            application.aboutToQuit.connect(slot)
            self._quits_with_application = True
