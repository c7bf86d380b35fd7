"""OPT: data for or from an optimiser."""

from laplace_server.handlers._value import value_handler
from laplace_server.protocol import make_opt_reply

handle_opt = value_handler("data", "on_opt", make_opt_reply)
