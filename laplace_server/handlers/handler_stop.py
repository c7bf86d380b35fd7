"""STOP: end the server, where that is permitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laplace_server.engine import engine_of
from laplace_server.protocol import Message, make_stop_reply
from laplace_server.stats import ErrorKind

if TYPE_CHECKING:
    from laplace_server.server_lhc import ServerLHC


def handle_stop(server: ServerLHC, message: Message, target: Any) -> None:
    """Reply, then end the server."""
    engine = engine_of(server)
    if not engine.remote_stop:
        text = "not permitted: this server was made with remote_stop=False"
        engine.socket.send_error(text, ErrorKind.NOT_PERMITTED)
        return
    engine.socket.send_json(make_stop_reply(engine.name, target))
    engine.request_stop()
