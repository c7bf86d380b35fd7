"""SET: new positions of a motor or gas valve."""

from __future__ import annotations

from typing import Any

from laplace_server.handlers._callback import callback_handler
from laplace_server.protocol import LOGGER_NAME, Message
from laplace_server.server._core import ErrorKind
from laplace_server.server.context import Server, context_of
from laplace_server.wire import commands
from laplace_server.wire.logs import Log

log = Log(LOGGER_NAME)

_call = callback_handler(commands.SET)


def handle_set(server: Server, message: Message, target: Any) -> None:
    """Call ``on_position_changed``, unless the device's description refuses the positions."""
    refusal = _refusal(server, message["payload"])
    if refusal is None:
        _call(server, message, target)
        return
    context, (text, kind) = context_of(server), refusal
    log.warning("[Server %s] SET refused: %s", context.name, text)
    context.socket.send_error(text, kind)


def _refusal(server: Server, payload: Any) -> tuple[str, ErrorKind] | None:
    """Why, by the description, the positions are not for the device."""
    context = context_of(server)
    described = context.described
    key = commands.SET.key
    if described.moved is None or not isinstance(payload, dict) or key not in payload:
        return None
    positions, name = payload[key], context.name
    outside = described.why_outside(positions, name)
    if outside is not None:
        return outside, ErrorKind.PAYLOAD
    # The data is asked for only where it counts: it is live again then.
    busy = described.why_busy(positions, server.data, name) if described.checks_moves else None
    return None if busy is None else (busy, ErrorKind.HANDLER)
