"""SET ACT: the actuators of a scan."""

from laplace_server.handlers._value import value_handler
from laplace_server.protocol import make_set_actuators_reply

handle_set_actuators = value_handler("actuators", "on_set_actuators", make_set_actuators_reply)
