"""SUBSCRIBE: follow a stream."""

from __future__ import annotations

from typing import Any

from laplace_server.protocol import Message
from laplace_server.server.context import Server, context_of
from laplace_server.server.granting import grant


def handle_subscribe(server: Server, message: Message, target: Any) -> None:
    """Grant a subscription; the loop begins it when the reply leaves."""
    context = context_of(server)
    grant(context, context.socket, message, target)
