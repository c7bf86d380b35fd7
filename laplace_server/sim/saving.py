"""What simulated devices that save have in common."""

from __future__ import annotations

from typing import Any

from laplace_server.sim.device import Described, SimulatedDevice


class SavingDevice(SimulatedDevice):
    """A device that is told where and whether to save. It only counts: nothing is written."""

    def __init__(self, name: str, address: str, **options: Any) -> None:
        self._path: str | None = None
        self._saving = False
        self._saved = 0
        super().__init__(name, address, **options)
        self.server.set_on_saving_path_changed(self._on_save)
        self.server.set_on_saving_status_toggled(self._on_toggle_saving)

    def _on_save(self, path: Any) -> None:
        with self._lock:
            self._path = str(path)
            self._publish()

    def _on_toggle_saving(self, on: Any) -> None:
        with self._lock:
            self._saving = bool(on)
            self._publish()

    def _count_saved(self) -> None:
        if self._saving and self._path is not None:
            self._saved += 1

    def _state(self) -> dict[str, Any]:
        return {"path": self._path, "saving": self._saving, "saved": self._saved}

    def _described(self) -> Described:
        return {
            "path": {"dtype": "str", "shape": (), "text": "where it would save"},
            "saving": {"dtype": "bool", "shape": (), "text": "whether it saves"},
            "saved": {"dtype": "int64", "shape": (), "text": "how many it has counted"},
        }
