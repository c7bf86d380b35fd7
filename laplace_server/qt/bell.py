"""What other threads ring to have a bridge look."""

from __future__ import annotations

from PyQt6.QtCore import QObject, pyqtSignal


class Bell(QObject):
    """Held by the thread that rings it, so the bridge may go meanwhile: Qt posts an event to the
    bridge's thread, or nothing where the bridge is gone."""

    rung = pyqtSignal()

    def ring(self) -> None:
        """Emit ``rung``, in any thread."""
        self.rung.emit()  # unlike this method, `rung.emit` alone does not keep the object
