"""FleetBridge: many devices followed for a window, which is told by signals who comes and goes.

fleet = FleetBridge(addresses, parent=window)
fleet.joined.connect(lambda device: window.show_present(device.address, device.name))
fleet.lost.connect(lambda device: window.show_lost(device.address, device.reason))
fleet.start()
fleet.save("/data/2026-11-27")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from PyQt6 import sip
from PyQt6.QtCore import QObject, pyqtSignal, pyqtSlot

from laplace_server.fleet.face import FleetFace, Result
from laplace_server.fleet.fleet_thread import FleetThread
from laplace_server.fleet.following import Following
from laplace_server.qt.bell import Bell
from laplace_server.qt.bridge import Bridge

if TYPE_CHECKING:
    from laplace_server.fleet.following import FindSecurity

__all__ = ["FleetBridge"]


class FleetBridge(Bridge, FleetFace):
    """A ``laplace_server.fleet.Fleet`` for a window: signals in place of callbacks.

    Make, start and use it in the thread it lives in, the GUI thread as a rule; ``stop()`` may be
    called from any. Nothing here waits for the network. Signals come in the order of what happened;
    what happens to a device while the window does something else, and cancels itself out, is not
    told.

    It ends with ``stop()``, with the application (``aboutToQuit``), and when it is deleted or
    collected. With a ``parent`` it lives as long as that.

    Args:
        addresses, name, period_s, timeout_s, security: as for Fleet.
        parent: the QObject that owns it.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    joined = pyqtSignal(object)
    """With a ``DeviceState``: a device is there, at first or again."""
    lost = pyqtSignal(object)
    """With a ``DeviceState``, whose ``reason`` says why it is not there any more."""

    def __init__(
        self,
        addresses: Iterable[str] = (),
        *,
        name: str | None = None,
        period_s: float = 0.5,
        timeout_s: float = 2.0,
        security: FindSecurity | None = None,
        parent: QObject | None = None,
    ) -> None:
        self._ringer = _Ringer()
        self._following = Following(
            addresses, name, period_s, timeout_s, security, self._ringer.ring
        )
        self._thread = FleetThread(self._following)
        super().__init__(self._thread.end, parent)
        self._ringer.bell.rung.connect(self._deliver)

    @property
    def running(self) -> bool:
        """True from ``start()`` to ``stop()``."""
        return self._thread.follows

    @pyqtSlot()
    def start(self) -> None:
        """Begin to follow, once only.

        Raises:
            ClientClosed: it was started or stopped before.
            OSError: the system has no descriptors left.
        """
        self._thread.start()
        self._end_with_application(self.stop)

    @pyqtSlot()
    def stop(self) -> None:
        """End; returns at once, and its thread ends by itself.

        Called in the thread the bridge lives in, nothing is told after it.
        """
        self._thread.end()

    @pyqtSlot()
    def _deliver(self) -> None:
        """Tell what there is. Any slot may stop or delete this object."""
        self._ringer.rung = False
        while not sip.isdeleted(self) and self.running:
            notice = self._following.notices.take()
            if notice is None:
                return
            (self.joined if notice.joined else self.lost).emit(notice.device)

    def _call(self, function: Callable[[], Result]) -> Result:
        return self._thread.call(function)


class _Ringer:
    """Rings once until it is heard: a window that is busy is not flooded."""

    def __init__(self) -> None:
        self.bell = Bell()
        self.rung = False

    def ring(self) -> None:
        if not self.rung:
            self.rung = True
            self.bell.ring()
