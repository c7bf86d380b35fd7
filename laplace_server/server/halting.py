"""HALT: what stops the device, called while another callback may run."""

from __future__ import annotations

from typing import Any

from laplace_server.protocol import make_halt_reply
from laplace_server.server._core import ErrorKind
from laplace_server.server.callbacks import text_of
from laplace_server.server.context import Context
from laplace_server.server.reply_socket import ReplySocket


def halt(context: Context, socket: ReplySocket, target: Any) -> None:
    """Call ``on_halt``, and say how it went.

    That it raised is told in any case: who halts a device must know whether it still moves.
    """
    on_halt = context.on_halt
    if on_halt is None:  # taken away since the request came
        socket.send_error("Unknown command", ErrorKind.UNKNOWN_COMMAND)
        return
    problem = context.call("on_halt", on_halt, ())
    if problem is None:
        socket.send_json(make_halt_reply(context.name, target))
    else:
        socket.send_error(text_of(problem))
