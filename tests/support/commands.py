"""The commands that call back, as their users know them; and an exception to try them with."""

from __future__ import annotations

# command, key of the payload, setter, attribute, reply text
COMMANDS = [
    ("SET", "positions", "set_on_position_changed", "on_position_changed", "Positions updated."),
    (
        "SAVE",
        "path",
        "set_on_saving_path_changed",
        "on_saving_path_changed",
        "Saving path changed.",
    ),
    ("OPT", "data", "set_on_opt", "on_opt", "Updating opt."),
    (
        "SET ACT",
        "actuators",
        "set_on_set_actuators",
        "on_set_actuators",
        "Actuators set on scanners",
    ),
    (
        "SET DIAG",
        "diagnostics",
        "set_on_set_diagnostics",
        "on_set_diagnostics",
        "Diagnostics set on scanners",
    ),
    (
        "UPDATE ACT POS",
        "actuators",
        "set_on_update_actuator_positions",
        "on_update_actuator_positions",
        "Current actuators positions set on scanners",
    ),
    (
        "TOGGLE SAVING",
        "saving status",
        "set_on_saving_status_toggled",
        "on_saving_status_toggled",
        "Saving status toggled.",
    ),
]


class BadText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")
