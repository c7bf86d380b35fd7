"""SET ACT: the actuators of a scan."""

from laplace_server.handlers._callback import callback_handler
from laplace_server.wire import commands

handle_set_actuators = callback_handler(commands.SET_ACT)
