"""TOGGLE SAVING: saving switched on or off."""

from laplace_server.handlers._value import value_handler
from laplace_server.protocol import make_toggle_saving_status_reply

handle_toggle_saving_status = value_handler(
    "saving status", "on_saving_status_toggled", make_toggle_saving_status_reply
)
