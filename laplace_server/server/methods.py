"""Methods: functions of a program that clients call by name, with arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from laplace_server.description import MethodDescription
from laplace_server.protocol import LOGGER_NAME, Message
from laplace_server.server._core import ErrorKind
from laplace_server.server.annotations import arguments_of, checked_arguments
from laplace_server.server.callbacks import checked_handler, refuse_coroutine, text_of
from laplace_server.server.context import Server, context_of
from laplace_server.wire.commands import COMMANDS, METHOD_RESULT
from laplace_server.wire.logs import Log

log = Log(LOGGER_NAME)


class Method:
    """The handler of a command that calls a function with the payload as arguments.

    Raises:
        TypeError, ValueError: the function cannot be one; the text says why.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._function = checked_handler(function, name)
        self._arguments = arguments_of(function)
        self.description = MethodDescription(
            name,
            tuple(each.description for each in self._arguments),
            inspect.getdoc(function) or "",
        )

    def __call__(self, server: Server, message: Message, target: Any) -> dict[str, Any] | None:
        """Call it. What it raises is logged, counted, and always the reply: there is no value."""
        context = context_of(server)
        name = self.description.name
        try:
            arguments = checked_arguments(self._arguments, message["payload"])
        except ValueError as problem:
            context.socket.send_error(f"{name}: {problem}", ErrorKind.PAYLOAD)
            return None
        try:
            result = self._function(**arguments)
            refuse_coroutine(result, "%s", name)
        except BaseException as problem:  # nothing that it raises may end the server
            log.exception("[Server %s] %s raised.", context.name, name)
            context.count_failure(name)
            if not context.socket.answered:
                context.socket.send_error(text_of(problem))
            return None
        return {METHOD_RESULT: result}


def check_name(name: Any, taken: Mapping[Any, Any]) -> None:
    """Check the name of a new method.

    Raises:
        TypeError: it is no non-empty str.
        ValueError: a command has this name.
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"a method's name is a non-empty str, as in command('HOME'), not {name!r}")
    if name in COMMANDS:
        raise ValueError(
            f"{name!r} is a command of every server; give the method another name, or serve that "
            "command with its callback or register_handler"
        )
    if name in taken:
        raise ValueError(f"there is a command {name!r} already; give the method another name")


def shown(handlers: Mapping[Any, Any]) -> dict[str, Any]:
    """What INFO tells of the methods among the handlers, by name."""
    return {
        cmd: handler.description.as_json()
        for cmd, handler in list(handlers.items())
        if isinstance(handler, Method)
    }
