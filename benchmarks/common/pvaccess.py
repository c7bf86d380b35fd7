"""The two ends of EPICS pvAccess with p4p. The address: the server's TCP and UDP port."""

from __future__ import annotations

import functools
from typing import Any

from p4p.client.thread import Context  # type: ignore[import-untyped]
from p4p.server import Server  # type: ignore[import-untyped]

REQUIREMENT = "p4p==4.3.0"


def serve(pvs: dict[str, Any]) -> tuple[Server, str]:
    """Serve these PVs from p4p's own threads; return the server, to keep, and its address."""
    # Listens on the loopback interface only, on ports the system chooses.
    server = Server(providers=[pvs], isolate=True)
    conf = server.conf()
    return server, f"{conf['EPICS_PVA_SERVER_PORT']}:{conf['EPICS_PVA_BROADCAST_PORT']}"


@functools.cache
def context(address: str) -> Context:
    """Return the process's Context for the server at ``address``."""
    server, broadcast = address.split(":")
    conf = {
        "EPICS_PVA_ADDR_LIST": "127.0.0.1",
        "EPICS_PVA_AUTO_ADDR_LIST": "NO",
        "EPICS_PVA_SERVER_PORT": server,
        "EPICS_PVA_BROADCAST_PORT": broadcast,
    }
    return Context("pva", conf=conf, useenv=False)
