"""GET and GET ARRAYS: the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laplace_server.derived import has_data
from laplace_server.engine import engine_of
from laplace_server.protocol import (
    CMD_GET,
    CMD_GET_ARRAYS,
    Message,
    make_get_arrays_reply,
    make_get_reply,
)

if TYPE_CHECKING:
    from laplace_server.server_lhc import ServerLHC


def handle_get(server: ServerLHC, message: Message, target: Any) -> None:
    """Call ``on_get``, then send the data: what it sets is in this reply."""
    server.emit("on_get")
    engine = engine_of(server)
    if _sends_by_itself(server):
        _send_own(server, make_get_reply(engine.name, target, data=server.data))
    else:
        engine.socket.send_data()


def handle_get_arrays(server: ServerLHC, message: Message, target: Any) -> None:
    """Call ``on_get``, then send the data with its arrays as bytes."""
    server.emit("on_get")
    engine = engine_of(server)
    if _sends_by_itself(server):
        _send_own(server, make_get_arrays_reply(engine.name, target, data=server.data, arrays=[]))
    else:
        engine.socket.send_data()


def _sends_by_itself(server: ServerLHC) -> bool:
    """Whether the core cannot: a class has ``data`` of its own, or a program's command this."""
    engine = engine_of(server)
    return has_data(server, engine.facade) or engine.socket.cmd not in (CMD_GET, CMD_GET_ARRAYS)


def _send_own(server: ServerLHC, reply: Message) -> None:
    """Send what ``data`` is now; arrays in it are lists."""
    socket = engine_of(server).socket
    socket.send_json(reply)
    if server.empty_data_after_get and not socket.failed:
        server.empty_data()
