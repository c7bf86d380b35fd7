"""TOGGLE SAVING: saving switched on or off."""

from laplace_server.handlers._callback import callback_handler
from laplace_server.wire import commands

handle_toggle_saving_status = callback_handler(commands.TOGGLE_SAVING)
