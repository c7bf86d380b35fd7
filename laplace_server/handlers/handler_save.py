"""SAVE: a new saving path."""

from laplace_server.handlers._value import value_handler
from laplace_server.protocol import make_save_reply

handle_save = value_handler("path", "on_saving_path_changed", make_save_reply)
