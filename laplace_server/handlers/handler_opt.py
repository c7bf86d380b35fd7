"""OPT: data for or from an optimiser."""

from laplace_server.handlers._callback import callback_handler
from laplace_server.wire import commands

handle_opt = callback_handler(commands.OPT)
