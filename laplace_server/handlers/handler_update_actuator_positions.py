"""UPDATE ACT POS: current positions of a scan's actuators."""

from laplace_server.handlers._callback import callback_handler
from laplace_server.wire import commands

handle_update_actuator_positions = callback_handler(commands.UPDATE_ACTUATORS_POS)
