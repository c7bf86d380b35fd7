"""STOP: end the server, where that is permitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laplace_server.protocol import Message, make_stop_reply
from laplace_server.stats import ErrorKind

if TYPE_CHECKING:
    from laplace_server.server_lhc import ServerLHC


def handle_stop(server: ServerLHC, message: Message, target: Any) -> None:
    """Reply, then end the server."""
    if not server.remote_stop:
        text = "not permitted: this server was made with remote_stop=False"
        server.socket.send_error(text, ErrorKind.NOT_PERMITTED)
        return
    server.socket.send_json(make_stop_reply(server.name, target))
    server.stop()
