"""GET and GET ARRAYS: the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laplace_server.derived import has_data
from laplace_server.engine import engine_of
from laplace_server.protocol import Message, make_get_arrays_reply, make_get_reply

if TYPE_CHECKING:
    from laplace_server.server_lhc import ServerLHC


def handle_get(server: ServerLHC, message: Message, target: Any) -> None:
    """Call ``on_get``, then send the data: what it sets is in this reply."""
    server.emit("on_get")
    engine = engine_of(server)
    if has_data(server, engine.facade):
        _send_own(server, make_get_reply(engine.name, target, data=server.data))
    else:
        engine.socket.send_data()


def handle_get_arrays(server: ServerLHC, message: Message, target: Any) -> None:
    """Call ``on_get``, then send the data with its arrays as bytes."""
    server.emit("on_get")
    engine = engine_of(server)
    if has_data(server, engine.facade):
        _send_own(server, make_get_arrays_reply(engine.name, target, data=server.data, arrays=[]))
    else:
        engine.socket.send_data()


def _send_own(server: ServerLHC, reply: Message) -> None:
    """Send what the ``data`` of a derived class is now; arrays in it are lists."""
    socket = engine_of(server).socket
    socket.send_json(reply)
    if server.empty_data_after_get and not socket.failed:
        server.empty_data()
