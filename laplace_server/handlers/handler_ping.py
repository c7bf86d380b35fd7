"""PING: is the server there?"""

from __future__ import annotations

from typing import Any

from laplace_server.protocol import Message, make_pong
from laplace_server.server.context import Server, context_of


def handle_ping(server: Server, message: Message, target: Any) -> None:
    """Answer PONG."""
    context = context_of(server)
    context.socket.send_json(make_pong(context.name, target))
