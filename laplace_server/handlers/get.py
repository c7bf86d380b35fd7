"""GET and GET ARRAYS: the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laplace_server.protocol import Message

if TYPE_CHECKING:
    from laplace_server.server_lhc import ServerLHC


def handle_get(server: ServerLHC, message: Message, target: Any) -> None:
    """Call ``on_get``, then send the data: what it sets is in this reply."""
    server.emit("on_get")
    server.socket.send_data()


def handle_get_arrays(server: ServerLHC, message: Message, target: Any) -> None:
    """Call ``on_get``, then send the data with its arrays as bytes."""
    server.emit("on_get")
    server.socket.send_data()
