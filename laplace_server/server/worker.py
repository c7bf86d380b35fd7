"""What is done with a request: decode, check, call the handler, reply.

Most are handled by the ServerLHC thread; those that run no code of the program's by the refresher,
and HALT by a thread of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import orjson

from laplace_server.protocol import (
    CMD_GET_ARRAYS,
    CMD_HALT,
    CMD_STATS,
    CMD_SUBSCRIBE,
    LOGGER_NAME,
    PROTOCOL_VERSION,
    make_message,
)
from laplace_server.server._core import ErrorKind
from laplace_server.server.callbacks import refuse_coroutine, text_of
from laplace_server.server.context import Server, WorkerContext
from laplace_server.server.granting import grant
from laplace_server.server.halting import halt
from laplace_server.server.reply_socket import UNKNOWN, ReplySocket
from laplace_server.server.reporting import send_stats
from laplace_server.validations import validate_message
from laplace_server.wire import json_text
from laplace_server.wire.commands import COMMANDS
from laplace_server.wire.logs import Log

log = Log(LOGGER_NAME)


def decode(body: bytes, strict: bool) -> Any:
    """Decode a request as ``json.loads(body.decode())`` would.

    ``strict``: the envelope scan found strict JSON without long integers, where orjson agrees with
    the standard library or refuses.

    Raises:
        ValueError, RecursionError: as ``json_text.loads`` does.
    """
    if strict:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    return json_text.loads(body)


def serve(
    server: Server,
    context: WorkerContext,
    job: int,
    body: bytes,
    strict: bool,
    one_frame: bool,
    role: int,
    key: int,
    address: str,
) -> None:
    """Answer one request, whatever it is and whatever its handler does."""
    socket = context.socket
    command = 0
    try:
        socket.open()
        socket.caller = context.caller(key, address)
        message = _decode_or_refuse(context, socket, body, strict, one_frame)
        if message is None:
            return
        command = context.command_index(socket.cmd)
        if not _is_permitted(context, socket, role, key):
            return
        _check_and_handle(server, context, message)
        # SET, then GET: the next read shows what the callback did, even where no refresh of
        # the data can be made in time. (GET ARRAYS makes its own, and changes nothing by itself.)
        changes_nothing = socket.cmd == CMD_GET_ARRAYS and context.handlers.is_builtin(socket.cmd)
        if not changes_nothing or server.on_get:
            context.core.documents.settle()
    except BaseException as problem:  # a handler must not end the server, whatever it raises
        _tell_of_failure(context, socket, problem)
    finally:
        _finish(context, socket, job, command)


def serve_builtin(
    context: WorkerContext,
    socket: ReplySocket,
    job: int,
    body: bytes,
    strict: bool,
    one_frame: bool,
    role: int,
    key: int,
    address: str,
    *,
    pass_halt: Callable[[tuple[Any, ...]], None] | None = None,
) -> None:
    """Answer one request that waits for no callback: SUBSCRIBE, STATS, GET ARRAYS, or HALT.

    In a thread that these do not hold up, with a socket of its own. HALT goes to ``pass_halt``, if
    it is given.
    """
    command, passed = 0, False
    try:
        socket.open()
        socket.caller = context.caller(key, address)
        message = _decode_or_refuse(context, socket, body, strict, one_frame)
        if message is None:
            return
        if socket.cmd == CMD_HALT and pass_halt is not None:
            pass_halt((job, body, strict, one_frame, role, key, address))
            passed = True
            return
        command = context.command_index(socket.cmd)
        if not _is_permitted(context, socket, role, key):
            return
        _log_received(context, socket)
        if socket.cmd == CMD_SUBSCRIBE:
            grant(context, socket, message, socket.target)
        elif socket.cmd == CMD_STATS:
            send_stats(context, socket, socket.target)
        elif socket.cmd == CMD_HALT:
            halt(context, socket, socket.target)
        else:
            socket.send_data()
    except BaseException as problem:  # no memory, most likely
        _tell_of_failure(context, socket, problem)
    finally:
        if passed:
            socket.close()
        else:
            _finish(context, socket, job, command)


def _tell_of_failure(context: WorkerContext, socket: ReplySocket, problem: BaseException) -> None:
    if not socket.answered:
        socket.send_error(text_of(problem))
    log.exception("[Server %s] A request could not be handled.", context.name)


def _finish(context: WorkerContext, socket: ReplySocket, job: int, command: int) -> None:
    jobs = context.core.jobs
    try:
        socket.finish(jobs, job, command)
    except BaseException:  # no memory, most likely; the peer must not wait for ever
        jobs.finish(job, socket.last_resort, command, ErrorKind.HANDLER)
    socket.close()


def _decode_or_refuse(
    context: WorkerContext, socket: ReplySocket, body: bytes, strict: bool, one_frame: bool
) -> dict[str, Any] | None:
    """Return the message; None where it was refused."""
    if not one_frame:
        _refuse(context, socket, "A request must be one frame.", ErrorKind.MALFORMED)
        return None
    try:
        message = decode(body, strict)
    except (ValueError, RecursionError) as problem:
        _refuse(context, socket, f"Message is not valid JSON: {problem}.", ErrorKind.MALFORMED)
        return None
    if isinstance(message, dict):
        socket.target = message.get("from", UNKNOWN)
        socket.cmd = message.get("cmd", UNKNOWN)
    problem_text = validate_message(message, accepted_versions=context.accepted_versions)
    if problem_text is not None:
        mismatch = problem_text.startswith("Protocol version mismatch")
        kind = ErrorKind.VERSION if mismatch else ErrorKind.MALFORMED
        _refuse(context, socket, problem_text, kind)
        return None
    socket.version = message["version"]
    return message  # type: ignore[no-any-return]


def _refuse(context: WorkerContext, socket: ReplySocket, text: str, kind: ErrorKind) -> None:
    log.error("[Server %s] Refused a message from %s: %s", context.name, _who(socket), text)
    socket.send_error(text, kind)


def _is_permitted(context: WorkerContext, socket: ReplySocket, role: int, key: int) -> bool:
    """Whether the request may be handled; else it is refused, and the core counts and tells it.

    The loop has refused what it is certain of. Rights may have changed since.
    """
    if context.permits(role, key, socket.cmd):
        return True
    socket.deny(context.refusal(role, key, socket.cmd))
    return False


def _check_and_handle(server: Server, context: WorkerContext, message: dict[str, Any]) -> None:
    socket = context.socket
    cmd, target = message["cmd"], message["from"]
    try:
        handler = context.handlers.find(cmd)
    except TypeError:  # a list or an object: no key of any mapping
        handler = None
    if handler is None:
        log.error("[Server %s] Unknown command %r from %s.", context.name, cmd, _who(socket))
        socket.send_error("Unknown command", ErrorKind.UNKNOWN_COMMAND)
        return
    _log_received(context, socket)
    context.running_since = time.monotonic()
    context.running_code = cmd
    try:
        payload = handler(server, message, target)
    finally:
        context.running_code = None
    if payload is not None:
        refuse_coroutine(payload, "the handler of %r", cmd)
    if socket.answered:
        return
    if payload is None:
        payload = {}
    if not isinstance(payload, dict):
        raise TypeError(
            f"the handler of {cmd!r} must return a payload dict or None, "
            f"not {type(payload).__name__}"
        )
    reply = make_message(cmd=cmd, sender=context.name, target=target, payload=payload)
    reply["version"] = message["version"] or PROTOCOL_VERSION
    socket.send_json(reply)


def _log_received(context: WorkerContext, socket: ReplySocket) -> None:
    command = COMMANDS.get(socket.cmd)
    level = logging.DEBUG if command is not None and command.polled else logging.INFO
    log.log(level, "[Server %s] Received %r from %s.", context.name, socket.cmd, _who(socket))


def _who(socket: ReplySocket) -> str:
    """What a client calls itself, and what it cannot choose: its key's name, or its address."""
    return f"{socket.target!r} ({socket.caller})" if socket.caller else repr(socket.target)
