"""ServerController: what clients send, as PyQt6 signals in the GUI thread.

ServerLHC calls its callbacks in its own thread, where no widget may be touched. A
ServerController made in the GUI thread stands between the two: give its `on_…` slots to the
server as callbacks and connect its signals to the window. The slots only emit, so they return
at once and the client's reply never waits for the window.

    controller = ServerController()
    server.set_on_position_changed(controller.on_position_changed)
    controller.position_changed.connect(window.move_to)

An exception in a slot of a PyQt6 program aborts the program, so a value of a type that the
signal does not carry is logged on the logger `laplace.server` and not emitted: no client can
make a window see, say, a number where it expects a dict.
"""

from __future__ import annotations

import re
from typing import Any

from laplace_server.protocol import LOGGER_NAME
from laplace_server.wire.extras import how_to_install
from laplace_server.wire.logs import Log

try:
    from PyQt6.QtCore import QObject, pyqtSignal
except ImportError as error:
    raise ImportError(
        "laplace_server.server_controller needs PyQt6, which cannot be imported "
        f"({error}). {how_to_install('qt')}",
        name="PyQt6",
    ) from error

__all__ = ["MAX_NESTING", "MAX_POSITIONS", "ServerController"]

log = Log(LOGGER_NAME)

MAX_POSITIONS = 10_000
"""A dict of positions may name the indices 0 to MAX_POSITIONS - 1."""

MAX_NESTING = 64
"""Lists and dicts may be nested this deep in positions. PyQt converts a list recursively and
without a limit: some thousand levels overflow the C stack."""

# Only the way JSON programs write an index: "01", "+1" and "1.0" are refused, so that no two
# keys of a dict can name the same axis.
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class ServerController(QObject):
    """Turns the callbacks of a ServerLHC into Qt signals.

    Make it in the GUI thread. Its slots may be called from any thread; functions and methods
    connected to its signals run in the thread they belong to, in the order of the calls.

    Setting `on_get` as callback makes every GET enter Python before it is answered; leave it
    out unless the program must know of each GET.
    """

    saving_path_changed = pyqtSignal(str)
    """SAVE: the path."""
    saving_status_toggled = pyqtSignal(bool)
    """TOGGLE SAVING: True to save, False to stop saving."""
    position_changed = pyqtSignal(list)
    """SET: the positions by index, see `on_position_changed`. Equal to what was sent; the
    keys of dicts inside the list may come in another order."""
    halt_requested = pyqtSignal()
    """HALT: no value."""
    get_received = pyqtSignal()
    """GET: no value."""
    opt_received = pyqtSignal(dict)
    """OPT: the data."""
    scan_received = pyqtSignal(dict)
    """SCAN: the whole message; what the client asks for is under "payload"."""
    set_actuators_dict_received = pyqtSignal(dict)
    """SET ACT: the actuators."""
    set_diagnostics_dict_received = pyqtSignal(dict)
    """SET DIAG: the diagnostics."""
    actuators_pos_update_received = pyqtSignal(dict)
    """UPDATE ACT POS: the actuators with their positions."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)

    def on_saving_path_changed(self, path: str) -> None:
        """Emit `saving_path_changed`; what is no str is logged and not emitted."""
        if _is_a(str, path, "saving_path_changed"):
            self.saving_path_changed.emit(path)

    def on_saving_status_toggled(self, saving: bool) -> None:
        """Emit `saving_status_toggled`; what is no bool is logged and not emitted."""
        if _is_a(bool, saving, "saving_status_toggled"):
            self.saving_status_toggled.emit(saving)

    def on_position_changed(self, positions: list[Any] | dict[str, Any]) -> None:
        """Emit `position_changed` with a list.

        A list is emitted as it is. A dict whose keys are all decimal indices ("0", "1", …)
        becomes the list in index order, with None where no index is given: {"0": 2.5} gives
        [2.5], {"2": 1.0} gives [None, None, 1.0], {} gives []. An index is written without
        sign, point or leading zeros and is below MAX_POSITIONS. Anything else, and what is
        nested deeper than MAX_NESTING, is logged and not emitted.
        """
        try:
            values = _as_list(positions)
        except ValueError as error:
            log.error("'position_changed' not emitted: %s.", error)
        else:
            self.position_changed.emit(values)

    def on_halt(self) -> None:
        """Emit `halt_requested`. The reply does not wait for what is connected to it.

        It is emitted while another callback runs, but the window gets it when it is ready: what
        must stop at once is better stopped by a callback of its own.
        """
        self.halt_requested.emit()

    def on_get(self) -> None:
        """Emit `get_received`. The reply does not wait for what is connected to it."""
        self.get_received.emit()

    def on_opt(self, data: dict[str, Any]) -> None:
        """Emit `opt_received`; what is no dict is logged and not emitted."""
        if _is_a(dict, data, "opt_received"):
            self.opt_received.emit(data)

    def on_scan(self, data: dict[str, Any]) -> None:
        """Emit `scan_received` with the whole message; what is no dict is logged and not
        emitted."""
        if _is_a(dict, data, "scan_received"):
            self.scan_received.emit(data)

    def on_set_actuators(self, actuators: dict[str, Any]) -> None:
        """Emit `set_actuators_dict_received`; what is no dict is logged and not emitted."""
        if _is_a(dict, actuators, "set_actuators_dict_received"):
            self.set_actuators_dict_received.emit(actuators)

    def on_set_diagnostics(self, diagnostics: dict[str, Any]) -> None:
        """Emit `set_diagnostics_dict_received`; what is no dict is logged and not emitted."""
        if _is_a(dict, diagnostics, "set_diagnostics_dict_received"):
            self.set_diagnostics_dict_received.emit(diagnostics)

    def on_new_actuator_pos_received(self, actuators: dict[str, Any]) -> None:
        """Emit `actuators_pos_update_received`; what is no dict is logged and not emitted.

        This is the slot for `ServerLHC.set_on_update_actuator_positions`.
        """
        if _is_a(dict, actuators, "actuators_pos_update_received"):
            self.actuators_pos_update_received.emit(actuators)


def _is_a(wanted: type, value: object, signal: str) -> bool:
    """Whether `value` is what `signal` carries. PyQt alone would turn None into "" and numbers
    into bools, and raise TypeError for the rest."""
    if isinstance(value, wanted):
        return True
    log.error("'%s' not emitted: got %s, not %s.", signal, type(value).__name__, wanted.__name__)
    return False


def _as_list(positions: object) -> list[Any]:
    """The list that `position_changed` carries. ValueError says why there is none."""
    if isinstance(positions, dict):
        by_index = {_index(key): value for key, value in positions.items()}
        values = [by_index.get(i) for i in range(max(by_index, default=-1) + 1)]
    elif isinstance(positions, (list, tuple)):
        values = list(positions)
    else:
        raise ValueError(f"positions are a list or a dict, got {type(positions).__name__}")
    if _too_deep(values):
        raise ValueError(f"positions are nested deeper than {MAX_NESTING} levels")
    return values


def _index(key: object) -> int:
    if isinstance(key, str) and _INDEX.fullmatch(key) and int(key) < MAX_POSITIONS:
        return int(key)
    raise ValueError(f"position key {key!r:.60} is no index from 0 to {MAX_POSITIONS - 1}")


def _too_deep(values: list[Any]) -> bool:
    """Level by level, so that no depth can overflow a stack here either."""
    level: list[Any] = [values]
    for _ in range(MAX_NESTING):
        inner = {
            id(item): item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, (list, tuple, dict))
        }
        if not inner:
            return False
        level = list(inner.values())
    return True
