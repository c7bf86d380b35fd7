"""SET DIAG: the diagnostics of a scan."""

from laplace_server.handlers._value import value_handler
from laplace_server.protocol import make_set_diagnostics_reply

handle_set_diagnostics = value_handler(
    "diagnostics", "on_set_diagnostics", make_set_diagnostics_reply
)
