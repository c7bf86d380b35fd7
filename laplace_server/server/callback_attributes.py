"""The callbacks of a ServerLHC, and how a program sets them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from laplace_server.server.attributes import Attribute
from laplace_server.server.callbacks import Callback, checked_callback


class CallbackAttributes(threading.Thread):
    """What a ServerLHC has of them; each is None or what one command calls."""

    on_saving_path_changed = Attribute[Callback | None]("SAVE calls it.")
    on_position_changed = Attribute[Callback | None]("SET calls it.")
    on_get = Attribute[Callback | None]("Called before each GET; what it sets is in that reply.")
    on_opt = Attribute[Callback | None]("OPT calls it.")
    on_scan = Attribute[Callback | None]("SCAN calls it.")
    on_set_actuators = Attribute[Callback | None]("SET ACT calls it.")
    on_set_diagnostics = Attribute[Callback | None]("SET DIAG calls it.")
    on_update_actuator_positions = Attribute[Callback | None]("UPDATE ACT POS calls it.")
    # Not of 0.2.0: a derived class may have a method of this name, and then that is called.
    on_saving_status_toggled = Attribute[Callback | None]("TOGGLE SAVING calls it.", default=None)

    def set_on_saving_path_changed(self, func: Callable[[str], None] | None) -> None:
        """SAVE calls ``func(path)``."""
        self.on_saving_path_changed = checked_callback(func, "on_saving_path_changed")

    def set_on_position_changed(self, func: Callable[[Any], None] | None) -> None:
        """SET calls ``func(positions)``: a list, or a dict such as ``{"0": 1.5}``."""
        self.on_position_changed = checked_callback(func, "on_position_changed")

    def set_on_get(self, func: Callable[[], None] | None) -> None:
        """GET calls ``func()`` first. Without it, GET needs no Python and never waits."""
        self.on_get = checked_callback(func, "on_get")

    def set_on_opt(self, func: Callable[[Any], None] | None) -> None:
        """OPT calls ``func(data)``."""
        self.on_opt = checked_callback(func, "on_opt")

    def set_on_scan(self, func: Callable[[dict[str, Any]], None] | None) -> None:
        """SCAN calls ``func(message)`` with the whole message."""
        self.on_scan = checked_callback(func, "on_scan")

    def set_on_set_actuators(self, func: Callable[[Any], None] | None) -> None:
        """SET ACT calls ``func(actuators)``."""
        self.on_set_actuators = checked_callback(func, "on_set_actuators")

    def set_on_set_diagnostics(self, func: Callable[[Any], None] | None) -> None:
        """SET DIAG calls ``func(diagnostics)``."""
        self.on_set_diagnostics = checked_callback(func, "on_set_diagnostics")

    def set_on_update_actuator_positions(self, func: Callable[[Any], None] | None) -> None:
        """UPDATE ACT POS calls ``func(actuators)``."""
        self.on_update_actuator_positions = checked_callback(func, "on_update_actuator_positions")

    def set_on_saving_status_toggled(self, func: Callable[[Any], None] | None) -> None:
        """TOGGLE SAVING calls ``func(saving_status)``."""
        self.on_saving_status_toggled = checked_callback(func, "on_saving_status_toggled")
