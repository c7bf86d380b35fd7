"""GET and GET ARRAYS: the data."""

from __future__ import annotations

from typing import Any

from laplace_server.protocol import (
    CMD_GET,
    CMD_GET_ARRAYS,
    Message,
    make_get_arrays_reply,
    make_get_reply,
)
from laplace_server.server.context import Server, context_of


def handle_get(server: Server, message: Message, target: Any) -> None:
    """Call ``on_get``, then send the data: what it sets is in this reply."""
    server.emit("on_get")
    context = context_of(server)
    if _sends_by_itself(server):
        _send_own(server, make_get_reply(context.name, target, data=server.data))
    else:
        context.socket.send_data()


def handle_get_arrays(server: Server, message: Message, target: Any) -> None:
    """Call ``on_get``, then send the data with its arrays as bytes."""
    server.emit("on_get")
    context = context_of(server)
    if _sends_by_itself(server):
        _send_own(server, make_get_arrays_reply(context.name, target, data=server.data, arrays=[]))
    else:
        context.socket.send_data()


def _sends_by_itself(server: Server) -> bool:
    """Whether the core cannot: a class has ``data`` of its own, or a program's command this."""
    context = context_of(server)
    return context.has_own_data(server) or context.socket.cmd not in (CMD_GET, CMD_GET_ARRAYS)


def _send_own(server: Server, reply: Message) -> None:
    """Send what ``data`` is now; arrays in it are lists."""
    socket = context_of(server).socket
    socket.send_json(reply)
    if server.empty_data_after_get and not socket.failed:
        server.empty_data()
