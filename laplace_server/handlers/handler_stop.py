"""STOP: end the server, where that is permitted."""

from __future__ import annotations

from typing import Any

from laplace_server.protocol import Message, make_stop_reply
from laplace_server.server._core import ErrorKind
from laplace_server.server.context import Server, context_of


def handle_stop(server: Server, message: Message, target: Any) -> None:
    """Reply, then end the server."""
    context = context_of(server)
    if not context.remote_stop:
        text = "not permitted: this server was made with remote_stop=False"
        context.socket.send_error(text, ErrorKind.NOT_PERMITTED)
        return
    context.socket.send_json(make_stop_reply(context.name, target))
    context.request_stop()
