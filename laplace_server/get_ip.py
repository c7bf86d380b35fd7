"""The address under which other machines reach this one."""

from __future__ import annotations

import socket

from laplace_server.logs import Log
from laplace_server.protocol import LOGGER_NAME

log = Log(LOGGER_NAME)

# Any address beyond the local network will do: the system only looks up the route to it.
_OUTSIDE = ("8.8.8.8", 80)

_FALLBACK = "127.0.0.1"


def get_ip(name: str) -> str:
    """Return this machine's IPv4 address as clients would use it; ``name`` is for the log only.

    The interface of the default route is preferred, then what the host name resolves to, then
    127.0.0.1. Nothing is sent, and nothing is raised.
    """
    try:
        # Connecting a UDP socket sends no packet; it only chooses the local interface.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(_OUTSIDE)
            address = str(probe.getsockname()[0])
    except OSError as error:
        log.warning(
            "[Server %s] No route to other networks (%s): trying the host name.", name, error
        )
    else:
        log.debug("[Server %s] IPv4 address of the default route: %s", name, address)
        return address
    try:
        address = socket.gethostbyname(socket.gethostname())
    # A host name that cannot be encoded is a UnicodeError.
    except (OSError, UnicodeError) as error:
        log.error(
            "[Server %s] The host name has no IPv4 address (%s): using %s.", name, error, _FALLBACK
        )
        return _FALLBACK
    log.debug("[Server %s] IPv4 address of the host name: %s", name, address)
    return address
