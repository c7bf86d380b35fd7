"""One handler per command: ``handler(server, message, target)`` answers through ``server.socket``.

PING, INFO and GET are usually answered by the core without Python; their handlers here serve the
requests that it leaves to Python (odd JSON, an ``on_get`` callback) with the same replies.
"""

from __future__ import annotations

from laplace_server.handlers._callback import callback_handler
from laplace_server.handlers.handler_get import handle_get, handle_get_arrays
from laplace_server.handlers.handler_halt import handle_halt
from laplace_server.handlers.handler_info import handle_info
from laplace_server.handlers.handler_opt import handle_opt
from laplace_server.handlers.handler_ping import handle_ping
from laplace_server.handlers.handler_save import handle_save
from laplace_server.handlers.handler_scan import handle_scan
from laplace_server.handlers.handler_set import handle_set
from laplace_server.handlers.handler_set_actuators import handle_set_actuators
from laplace_server.handlers.handler_set_diagnostics import handle_set_diagnostics
from laplace_server.handlers.handler_stats import handle_stats
from laplace_server.handlers.handler_stop import handle_stop
from laplace_server.handlers.handler_subscribe import handle_subscribe
from laplace_server.handlers.handler_toggle_saving import handle_toggle_saving_status
from laplace_server.handlers.handler_update_actuator_positions import (
    handle_update_actuator_positions,
)
from laplace_server.server.context import Handler
from laplace_server.wire import commands

__all__ = [
    "builtin_handlers",
    "handle_get",
    "handle_get_arrays",
    "handle_halt",
    "handle_info",
    "handle_opt",
    "handle_ping",
    "handle_save",
    "handle_scan",
    "handle_set",
    "handle_set_actuators",
    "handle_set_diagnostics",
    "handle_stats",
    "handle_stop",
    "handle_subscribe",
    "handle_toggle_saving_status",
    "handle_update_actuator_positions",
]

# Those that do more than call a callback.
_WRITTEN: dict[commands.Command, Handler] = {
    commands.INFO: handle_info,
    commands.PING: handle_ping,
    commands.GET: handle_get,
    commands.SET: handle_set,
    commands.STOP: handle_stop,
    commands.GET_ARRAYS: handle_get_arrays,
    commands.SUBSCRIBE: handle_subscribe,
    commands.STATS: handle_stats,
    commands.HALT: handle_halt,
}


def builtin_handlers() -> dict[str, Handler]:
    """What answers each command of the table, unless the program says otherwise."""
    return {
        name: _WRITTEN[command] if command in _WRITTEN else callback_handler(command)
        for name, command in commands.COMMANDS.items()
    }
