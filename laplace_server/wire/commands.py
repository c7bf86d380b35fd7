"""The commands there are, a row each: what both sides know of a command stands here, once.

Of a row follow the built-in handler of a command with a callback, INFO's capabilities, the level of
its log record, and the request that clients make of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """A row of the table."""

    name: str
    """The ``cmd`` of its messages."""
    request_text: str | None = None
    """The ``msg`` of a request: a sentence for people, and part of the wire form."""
    reply_text: str | None = None
    """The ``msg`` of a reply without error."""
    key: str | None = None
    """Where in the payload the value of a request stands; None: it has none."""
    callback: str | None = None
    """The attribute of a ServerLHC that is called with that value."""
    gives_message: bool = False
    """Whether the callback gets the whole message instead, whatever is in it."""
    converts: Callable[[Any], Any] | None = None
    """What a client makes of the value before it sends it."""
    polled: bool = False
    """Whether clients ask again and again: a server logs that at level DEBUG, the rest at INFO."""
    least_role: str = "operate"
    """The least of ``ROLES`` that may ask for it, where a server has security."""
    optional: bool = False
    """Whether a server knows it only once its program has said what it does."""


ROLES = ("view", "operate", "admin")
"""From the least to the most; each may do what those before it may."""

METHOD_RESULT = "result"
"""Where in a reply's payload stands what a method of the program has returned."""

COMMANDS: dict[str, Command] = {}
"""By name, in the order in which INFO lists them."""


def _row(command: Command) -> Command:
    assert command.name not in COMMANDS
    COMMANDS[command.name] = command
    return command


INFO = _row(
    Command(
        "INFO",
        "Informations required.",
        "Informations transmitted.",
        polled=True,
        least_role="view",
    )
)
PING = _row(Command("PING", "Alive?", "Still alive.", key="PING", polled=True, least_role="view"))
GET = _row(
    Command("GET", "Get values.", "Data sent.", callback="on_get", polled=True, least_role="view")
)
SET = _row(
    Command(
        "SET", "Set request.", "Positions updated.", key="positions", callback="on_position_changed"
    )
)
SAVE = _row(
    Command(
        "SAVE",
        "Save path request.",
        "Saving path changed.",
        key="path",
        callback="on_saving_path_changed",
        converts=os.fspath,
    )
)
STOP = _row(Command("STOP", "Shutdown request.", "Server stopping.", least_role="admin"))
OPT = _row(Command("OPT", "Opt informations.", "Updating opt.", key="data", callback="on_opt"))
SCAN = _row(
    Command(
        "SCAN",
        "Scan informations.",
        "Updating scan",
        key="data",
        callback="on_scan",
        gives_message=True,
    )
)
SET_ACT = _row(
    Command(
        "SET ACT",
        "Setting actuators",
        "Actuators set on scanners",
        key="actuators",
        callback="on_set_actuators",
    )
)
UPDATE_ACTUATORS_POS = _row(
    Command(
        "UPDATE ACT POS",
        "Updating current actuators positions",
        "Current actuators positions set on scanners",
        key="actuators",
        callback="on_update_actuator_positions",
    )
)
SET_DIAG = _row(
    Command(
        "SET DIAG",
        "Setting actuators",  # 0.2.0 has the same words as for actuators
        "Diagnostics set on scanners",
        key="diagnostics",
        callback="on_set_diagnostics",
    )
)
TOGGLE_SAVING = _row(
    Command(
        "TOGGLE SAVING",
        "Toggle saving status request.",
        "Saving status toggled.",
        key="saving status",  # with a space
        callback="on_saving_status_toggled",
        converts=bool,
    )
)
GET_ARRAYS = _row(
    Command(
        "GET ARRAYS", "Get values.", "Data sent.", callback="on_get", polled=True, least_role="view"
    )
)
SUBSCRIBE = _row(Command("SUBSCRIBE", None, "Subscribed.", least_role="view"))
STATS = _row(
    Command(
        "STATS",
        "Statistics required.",
        "Statistics transmitted.",
        polled=True,
        least_role="view",
    )
)
HALT = _row(Command("HALT", "Halt request.", "Halted.", optional=True))


def least_role(cmd: Any) -> str:
    """The least role that may ask for a command; of one's own, and of unknown ones, "operate"."""
    command = COMMANDS.get(cmd) if isinstance(cmd, str) else None
    return Command.least_role if command is None else command.least_role


def callback_names() -> frozenset[str]:
    """The attributes of a ServerLHC that commands call."""
    return frozenset(each.callback for each in COMMANDS.values() if each.callback is not None)
