"""Whether a server's native threads may run in real time."""

from __future__ import annotations

import sys

from laplace_server.protocol import LOGGER_NAME
from laplace_server.server import _core
from laplace_server.wire.logs import Log

log = Log(LOGGER_NAME)

_HOW = (
    " Permit real-time priority 1 to this program: LimitRTPRIO=1 for a systemd service, "
    "or a line such as '@lab - rtprio 1' in /etc/security/limits.d/ (`ulimit -r` tells)."
)


def real_time_permitted(name: str) -> bool:
    """Say whether the system permits it, and warn where it does not, in the server's name."""
    if _core.may_be_real_time():
        return True
    why = "the system does not permit it" if sys.platform == "linux" else "it is for Linux only"
    how = _HOW if sys.platform == "linux" else ""
    log.warning("[Server %s] real_time=True is without effect: %s.%s", name, why, how)
    return False
