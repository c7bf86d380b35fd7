"""What the ServerLHC thread does with a request: decode, check, call the handler, reply."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import orjson

from laplace_server import json_text
from laplace_server.logs import Log
from laplace_server.protocol import CMD_GET_ARRAYS, LOGGER_NAME, PROTOCOL_VERSION, make_message
from laplace_server.reply_socket import UNKNOWN
from laplace_server.stats import ErrorKind
from laplace_server.validations import validate_message

if TYPE_CHECKING:
    from laplace_server.server_lhc import ServerLHC

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


def serve(server: ServerLHC, job: int, body: bytes, strict: bool, one_frame: bool) -> None:
    """Answer one request, whatever it is and whatever its handler does."""
    socket = server.socket
    command = 0
    try:
        message = _decode_or_refuse(server, body, strict, one_frame)
        if socket.answered:
            return
        command = server._command_index(socket.cmd)
        _check_and_handle(server, message)
        # SET, then GET: the next read shows what the callback did, even where no look at the
        # data can be made in time. (Nobody changes anything for GET ARRAYS, which looks itself.)
        if socket.cmd != CMD_GET_ARRAYS:
            server._core.settle()
    except BaseException as problem:  # a handler must not end the server, whatever it raises
        if not socket.answered:
            socket.send_error(f"{type(problem).__name__}: {_text_of(problem)}")
        # Nor may a log handler that fails, such as one whose window is gone.
        with contextlib.suppress(BaseException):
            log.exception("[Server %s] A request could not be handled.", server.name)
    finally:
        try:
            socket.hand_over(job, command)
        except BaseException:  # no memory, most likely; the peer must not wait for ever
            server._core.finish(job, socket.last_resort, command, ErrorKind.HANDLER)
        socket.close()


def _text_of(problem: BaseException) -> str:
    try:
        return str(problem)
    except BaseException:
        return "(it cannot be shown)"


def _decode_or_refuse(server: ServerLHC, body: bytes, strict: bool, one_frame: bool) -> Any:
    socket = server.socket
    socket.open()
    if not one_frame:
        return _refuse(server, "A request must be one frame.", ErrorKind.MALFORMED)
    try:
        message = decode(body, strict)
    except (ValueError, RecursionError) as problem:
        return _refuse(server, f"Message is not valid JSON: {problem}.", ErrorKind.MALFORMED)
    if isinstance(message, dict):
        socket.address(message.get("from", UNKNOWN), message.get("cmd", UNKNOWN))
    problem_text = validate_message(message, accepted_versions=server.accepted_versions)
    if problem_text is not None:
        mismatch = problem_text.startswith("Protocol version mismatch")
        kind = ErrorKind.VERSION if mismatch else ErrorKind.MALFORMED
        return _refuse(server, problem_text, kind)
    socket.version = message["version"]
    return message


def _refuse(server: ServerLHC, text: str, kind: ErrorKind) -> None:
    socket = server.socket
    log.error("[Server %s] Refused a message from %r: %s", server.name, socket.target, text)
    socket.send_error(text, kind)


def _check_and_handle(server: ServerLHC, message: dict[str, Any]) -> None:
    socket = server.socket
    cmd, target = message["cmd"], message["from"]
    try:
        handler = server._handlers.get(cmd)
    except TypeError:  # a list or an object: no key of any mapping
        handler = None
    if handler is None:
        log.error("[Server %s] Unknown command %r from %r.", server.name, cmd, target)
        socket.send_error("Unknown command", ErrorKind.UNKNOWN_COMMAND)
        return
    log.log(server._log_level_of(cmd), "[Server %s] Received %r from %r.", server.name, cmd, target)
    server._running_code = cmd
    try:
        payload = handler(server, message, target)
    finally:
        server._running_code = None
    if socket.answered:
        return
    if payload is None:
        payload = {}
    if not isinstance(payload, dict):
        raise TypeError(
            f"the handler of {cmd!r} must return a payload dict or None, "
            f"not {type(payload).__name__}"
        )
    reply = make_message(cmd=cmd, sender=server.name, target=target, payload=payload)
    reply["version"] = message["version"] or PROTOCOL_VERSION
    socket.send_json(reply)
