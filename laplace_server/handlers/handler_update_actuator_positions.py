"""UPDATE ACT POS: current positions of a scan's actuators."""

from laplace_server.handlers._value import value_handler
from laplace_server.protocol import make_scan_act_position_reply

handle_update_actuator_positions = value_handler(
    "actuators", "on_update_actuator_positions", make_scan_act_position_reply
)
