"""SET: new positions of a motor or gas valve."""

from laplace_server.handlers._value import value_handler
from laplace_server.protocol import make_set_reply

handle_set = value_handler("positions", "on_position_changed", make_set_reply)
