"""SET DIAG: the diagnostics of a scan."""

from laplace_server.handlers._callback import callback_handler
from laplace_server.wire import commands

handle_set_diagnostics = callback_handler(commands.SET_DIAG)
