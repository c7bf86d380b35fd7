"""What the ServerLHC thread does with a request: decode, check, call the handler, reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from laplace_server import json_text
from laplace_server.callbacks import refuse_coroutine, text_of
from laplace_server.logs import Log
from laplace_server.protocol import CMD_GET_ARRAYS, LOGGER_NAME, PROTOCOL_VERSION, make_message
from laplace_server.reply_socket import UNKNOWN
from laplace_server.stats import ErrorKind
from laplace_server.validations import validate_message

if TYPE_CHECKING:
    from laplace_server.engine import Engine
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


def serve(
    server: ServerLHC, engine: Engine, job: int, body: bytes, strict: bool, one_frame: bool
) -> None:
    """Answer one request, whatever it is and whatever its handler does."""
    socket = engine.socket
    command = 0
    try:
        message = _decode_or_refuse(engine, body, strict, one_frame)
        if socket.answered:
            return
        command = engine.command_index(socket.cmd)
        _check_and_handle(server, engine, message)
        # SET, then GET: the next read shows what the callback did, even where no look at the
        # data can be made in time. (GET ARRAYS looks itself, and changes nothing by itself.)
        changes_nothing = socket.cmd == CMD_GET_ARRAYS and engine.handlers.is_builtin(socket.cmd)
        if not changes_nothing or server.on_get:
            engine.core.settle()
    except BaseException as problem:  # a handler must not end the server, whatever it raises
        if not socket.answered:
            socket.send_error(text_of(problem))
        log.exception("[Server %s] A request could not be handled.", engine.name)
    finally:
        try:
            socket.hand_over(job, command)
        except BaseException:  # no memory, most likely; the peer must not wait for ever
            engine.core.finish(job, socket.last_resort, command, ErrorKind.HANDLER)
        socket.close()


def _decode_or_refuse(engine: Engine, body: bytes, strict: bool, one_frame: bool) -> Any:
    socket = engine.socket
    socket.open()
    if not one_frame:
        return _refuse(engine, "A request must be one frame.", ErrorKind.MALFORMED)
    try:
        message = decode(body, strict)
    except (ValueError, RecursionError) as problem:
        return _refuse(engine, f"Message is not valid JSON: {problem}.", ErrorKind.MALFORMED)
    if isinstance(message, dict):
        socket.address(message.get("from", UNKNOWN), message.get("cmd", UNKNOWN))
    problem_text = validate_message(message, accepted_versions=engine.accepted_versions)
    if problem_text is not None:
        mismatch = problem_text.startswith("Protocol version mismatch")
        kind = ErrorKind.VERSION if mismatch else ErrorKind.MALFORMED
        return _refuse(engine, problem_text, kind)
    socket.version = message["version"]
    return message


def _refuse(engine: Engine, text: str, kind: ErrorKind) -> None:
    socket = engine.socket
    log.error("[Server %s] Refused a message from %r: %s", engine.name, socket.target, text)
    socket.send_error(text, kind)


def _check_and_handle(server: ServerLHC, engine: Engine, message: dict[str, Any]) -> None:
    socket = engine.socket
    cmd, target = message["cmd"], message["from"]
    try:
        handler = engine.handlers.get(cmd)
    except TypeError:  # a list or an object: no key of any mapping
        handler = None
    if handler is None:
        log.error("[Server %s] Unknown command %r from %r.", engine.name, cmd, target)
        socket.send_error("Unknown command", ErrorKind.UNKNOWN_COMMAND)
        return
    log.log(engine.log_level_of(cmd), "[Server %s] Received %r from %r.", engine.name, cmd, target)
    engine.running_code = cmd
    try:
        payload = handler(server, message, target)
    finally:
        engine.running_code = None
    refuse_coroutine(payload, f"the handler of {cmd!r}")
    if socket.answered:
        return
    if payload is None:
        payload = {}
    if not isinstance(payload, dict):
        raise TypeError(
            f"the handler of {cmd!r} must return a payload dict or None, "
            f"not {type(payload).__name__}"
        )
    reply = make_message(cmd=cmd, sender=engine.name, target=target, payload=payload)
    reply["version"] = message["version"] or PROTOCOL_VERSION
    socket.send_json(reply)
