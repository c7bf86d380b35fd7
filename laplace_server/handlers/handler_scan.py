"""SCAN: the state of a scan; the callback gets the whole message."""

from laplace_server.handlers._callback import callback_handler
from laplace_server.wire import commands

handle_scan = callback_handler(commands.SCAN)
