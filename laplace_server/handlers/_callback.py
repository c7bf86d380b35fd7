"""The handlers of commands that only call a callback: they follow from the command's row."""

from __future__ import annotations

import functools
from typing import Any

from laplace_server.protocol import Message, command_reply
from laplace_server.server._core import ErrorKind, encode_json
from laplace_server.server.context import Context, Handler, Server, context_of
from laplace_server.validations import validate_payload
from laplace_server.wire.commands import Command

# Of clients whose replies are kept, and characters of what a client calls itself.
_MOST_CLIENTS, _LONGEST_CLIENT = 64, 64


@functools.cache
def callback_handler(command: Command) -> Handler:
    """Return what gives the callback its value, untouched, and then replies; always the same one.

    Raises:
        LookupError: the command has no callback, so its handler is to be written.
    """
    if command.callback is None:
        raise LookupError(f"{command.name!r} has neither a callback nor a handler of its own")
    callback, key, gives_message = command.callback, command.key, command.gives_message

    @functools.lru_cache(_MOST_CLIENTS)
    def reply(name: str, client: str, version: str) -> bytes:
        return encode_json({**command_reply(command, name, client), "version": version})

    def answer(context: Context, target: Any) -> None:
        version = context.socket.version
        # What is equal to a str is written as that is, which is not so of numbers: 1, 1.0, true.
        if type(target) is str and type(version) is str and len(target) <= _LONGEST_CLIENT:
            context.socket.send(reply(context.name, target, version))
        else:
            context.socket.send_json(command_reply(command, context.name, target))

    def handle(server: Server, message: Message, target: Any) -> None:
        context = context_of(server)
        if gives_message:
            server.emit(callback, message)
        elif key is None:
            server.emit(callback)
        else:
            payload = message.get("payload")
            if not isinstance(payload, dict) or key not in payload:
                error = validate_payload(message, [key])
                context.socket.send_error(str(error), ErrorKind.PAYLOAD)
                return
            server.emit(callback, payload[key])
        answer(context, target)

    handle.__doc__ = f"Call ``{callback}``."
    return handle
