"""A device program with a ``ServerLHC``: this package's, or 0.2.0's where that comes first.

The address is ZeroMQ's.
"""

from __future__ import annotations

from peers.work import Work, begin_company, free_port, move, prepare, values

CANNOT: dict[str, str] = {}


def serve(work: Work) -> str:
    """Start a server, and what goes on beside it."""
    import laplace_server
    from laplace_server import ServerLHC

    is_original = not hasattr(laplace_server, "errors")
    address = f"tcp://127.0.0.1:{free_port()}"
    server = ServerLHC("device", address, 2, "MOTOR", {})
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

    def publish(new: list[float]) -> None:
        if is_original:
            server.set_data({"values": new})
        else:
            server.set_data({"values": new}, copy=True)  # as the README advises

    begin_company(work, publish)
    return address


_kept: list[object] = []  # what a program still refers to is live
