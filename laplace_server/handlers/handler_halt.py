"""HALT: stop moving."""

from __future__ import annotations

from typing import Any

from laplace_server.protocol import Message
from laplace_server.server.context import Server, context_of
from laplace_server.server.halting import halt


def handle_halt(server: Server, message: Message, target: Any) -> None:
    """Call ``on_halt``, then reply. Usually a thread of its own does, whatever runs here."""
    context = context_of(server)
    halt(context, context.socket, target)
