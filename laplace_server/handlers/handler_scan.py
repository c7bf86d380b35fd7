"""SCAN: the state of a scan; the callback gets the whole message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laplace_server.engine import engine_of
from laplace_server.protocol import Message, make_scan_reply

if TYPE_CHECKING:
    from laplace_server.server_lhc import ServerLHC


def handle_scan(server: ServerLHC, message: Message, target: Any) -> None:
    """Give the message to ``on_scan``."""
    server.emit("on_scan", message)
    engine = engine_of(server)
    engine.socket.send_json(make_scan_reply(engine.name, target))
