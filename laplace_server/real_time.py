"""Whether a server's native threads may run in real time."""

from __future__ import annotations

import logging
import sys

from laplace_server import _core
from laplace_server.protocol import LOGGER_NAME

log = logging.getLogger(LOGGER_NAME)

_HOW = {
    "linux": " Permit real-time priority 1 to this program: LimitRTPRIO=1 for a systemd service, "
    "or a line such as '@lab - rtprio 1' in /etc/security/limits.d/ (`ulimit -r` tells).",
    "win32": " It is not for Windows.",
}


def real_time_permitted() -> bool:
    """Say whether the system permits it, and warn where it does not."""
    if _core.may_be_real_time():
        return True
    how = _HOW.get(sys.platform, "")
    log.warning("real_time=True is without effect: the system does not permit it.%s", how)
    return False
