"""PING: is the server there?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laplace_server.engine import engine_of
from laplace_server.protocol import Message, make_pong

if TYPE_CHECKING:
    from laplace_server.server_lhc import ServerLHC


def handle_ping(server: ServerLHC, message: Message, target: Any) -> None:
    """Answer PONG."""
    engine = engine_of(server)
    engine.socket.send_json(make_pong(engine.name, target))
