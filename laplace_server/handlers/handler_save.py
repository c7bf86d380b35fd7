"""SAVE: a new saving path."""

from laplace_server.handlers._callback import callback_handler
from laplace_server.wire import commands

handle_save = callback_handler(commands.SAVE)
