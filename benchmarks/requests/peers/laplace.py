"""A device program with a ``ServerLHC``: this package's, or 0.2.0's where that comes first.

The address is ZeroMQ's.
"""

from __future__ import annotations

from typing import Any

from benchmarks.common.curve import server_security
from benchmarks.common.programs import free_port
from benchmarks.requests.work import Work, begin_company, move, prepare, values

CANNOT: dict[str, str] = {}


def is_original() -> bool:
    """Tell whether what is imported here is 0.2.0."""
    from laplace_server import ServerLHC

    return not hasattr(ServerLHC, "publish")


def settings() -> dict[str, Any]:
    """Return the arguments of a server that only 0.2.0 does not know: it waits asleep."""
    return {} if is_original() else {"spin_us": 0}


def serve(work: Work, **others: Any) -> str:
    """Start a server, with other settings if they are given, and what goes on beside it."""
    from laplace_server import ServerLHC

    if work.curve:
        others["security"] = server_security()
    address = f"tcp://127.0.0.1:{free_port()}"
    server = ServerLHC("device", address, 2, "MOTOR", {}, **{**settings(), **others})
    server.daemon = True
    data = {"values": values(work.floats)}
    server.set_data(data)
    if work.live:
        _kept.append(data)
    if work.command:
        server.set_on_position_changed(move)
    if work.on_get:
        server.set_on_get(prepare)
    server.start()
    original = is_original()

    def publish(new: list[float]) -> None:
        if original:
            server.set_data({"values": new})
        else:
            server.set_data({"values": new}, copy=True)  # as the README advises

    begin_company(work, publish)
    return address


_kept: list[object] = []  # what a program still refers to is live
