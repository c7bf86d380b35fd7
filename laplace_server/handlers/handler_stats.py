"""STATS: what the server has counted, and what it is doing."""

from __future__ import annotations

from typing import Any

from laplace_server.protocol import Message
from laplace_server.server.context import Server, context_of
from laplace_server.server.reporting import send_stats


def handle_stats(server: Server, message: Message, target: Any) -> None:
    """Tell the counters as they are now."""
    context = context_of(server)
    send_stats(context, context.socket, target)
