"""What bridges have in common: how they end, and when they look what there is."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from PyQt6.QtCore import QCoreApplication, QObject, QTimer

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
        self._end_work = end
        weakref.finalize(self, end)
        # A timer lets the event loop come round; an event posted from a slot would be next.
        self._pace = QTimer(self)
        self._pace.setSingleShot(True)

    def __dtor__(self) -> None:
        """End where it is deleted; sip calls this first, in whatever thread deletes it.

        Not ``destroyed``: PyQt has that forgotten by the thread that connected to it, as soon as
        that comes to its events, which may be before the thread that deletes it has called a slot.
        """
        end = self.__dict__.get("_end_work")
        if end is not None:  # else it is half collected, and has ended
            end()

    def _end_with_application(self, slot: Callable[[], None]) -> None:
        """Have a slot of this object called when the application is about to quit."""
        application = QCoreApplication.instance()
        if application is not None and not self._quits_with_application:
            application.aboutToQuit.connect(slot)
            self._quits_with_application = True
