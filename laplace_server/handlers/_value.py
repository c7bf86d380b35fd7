"""Most commands carry one value for one callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from laplace_server.engine import engine_of
from laplace_server.protocol import Message
from laplace_server.stats import ErrorKind
from laplace_server.validations import validate_payload

if TYPE_CHECKING:
    from laplace_server.server_lhc import ServerLHC

Handler = Callable[["ServerLHC", Message, Any], "Message | None"]


def value_handler(key: str, callback: str, make_reply: Callable[[str, Any], Message]) -> Handler:
    """Make a handler that gives ``payload[key]``, untouched, to a callback."""

    def handle(server: ServerLHC, message: Message, target: Any) -> None:
        engine = engine_of(server)
        error = validate_payload(message, [key])
        if error is not None:
            engine.socket.send_error(error, ErrorKind.PAYLOAD)
            return
        server.emit(callback, message["payload"][key])
        engine.socket.send_json(make_reply(engine.name, target))

    handle.__doc__ = f"Give the payload's {key!r} to ``{callback}``."
    return handle
