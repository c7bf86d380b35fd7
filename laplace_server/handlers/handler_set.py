"""SET: new positions of a motor or gas valve."""

from laplace_server.handlers._callback import callback_handler
from laplace_server.wire import commands

handle_set = callback_handler(commands.SET)
