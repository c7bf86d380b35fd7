"""Where we differ from the original on purpose: the one table of it.

Each entry turns what the original did into what we promise instead, so that the rest of the answer
is still compared to the letter. Whatever no entry covers must be equal.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from differential.describe import describe

from laplace_server import protocol


@dataclass(frozen=True)
class Answer:
    """One parsed reply and the callbacks called for it, as [name, described arguments]."""

    reply: Any
    events: list[list[str]]


@dataclass(frozen=True)
class Request:
    """One parsed request, and whether the server it went to has callbacks."""

    message: Any
    has_callbacks: bool

    def called(self, name: str, *args: Any) -> list[list[str]]:
        """Return the events of one callback with these arguments."""
        return [[name, describe(args)]] if self.has_callbacks else []


# From the request, the original's answer and ours to the promised answer, or None: no difference.
Promise = Callable[[Request, Answer, Answer], "Answer | None"]


@dataclass(frozen=True)
class Difference:
    """A difference on purpose; `promise` is None where a test of its own states the promise."""

    name: str
    reason: str
    promise: Promise | None = None


def _has(cmd: str, request: Request) -> bool:
    return isinstance(request.message, dict) and request.message.get("cmd") == cmd


def _named_reply(cmd: str, msg: str) -> Promise:
    def promise(request: Request, theirs: Answer, ours: Answer) -> Answer | None:
        # The original's errors to these commands are right.
        if not _has(cmd, request) or theirs.reply["error_msg"] is not None:
            return None
        assert (theirs.reply["cmd"], theirs.reply["msg"]) == ("SCAN", "Updating scan")
        return replace(theirs, reply={**theirs.reply, "cmd": cmd, "msg": msg})

    return promise


def _checked(
    request: Request, sender: str, key: str, reply: dict[str, Any], callback: str
) -> Answer:
    """Return the answer to a command whose payload needs `key`."""
    message = request.message
    payload = message["payload"]
    if isinstance(payload, dict) and key in payload:
        return Answer(reply, request.called(callback, payload[key]))
    error = f"Payload missing keys: ['{key}']."
    if not isinstance(payload, dict):
        error = "'payload' must be a dict."
    reply = protocol.make_error(sender, message["from"], cmd=message["cmd"], error_msg=error)
    return Answer(reply, [])


def _update_actuators(request: Request, theirs: Answer, ours: Answer) -> Answer | None:
    if not _has("UPDATE ACT POS", request) or theirs.reply["error_msg"] is not None:
        return None
    assert (theirs.reply["cmd"], theirs.reply["msg"]) == ("SCAN", "Updating scan")
    assert theirs.events == request.called("on_set_actuators", request.message)
    sender = theirs.reply["from"]
    reply = protocol.make_scan_act_position_reply(sender, theirs.reply["to"])
    return _checked(request, sender, "actuators", reply, "on_update_actuator_positions")


def _toggle_saving(request: Request, theirs: Answer, ours: Answer) -> Answer | None:
    if not _has("TOGGLE SAVING", request) or theirs.reply["error_msg"] != "Unknown command":
        return None
    sender = theirs.reply["from"]
    reply = protocol.make_toggle_saving_status_reply(sender, theirs.reply["to"])
    return _checked(request, sender, "saving status", reply, "on_saving_status_toggled")


NEW_COMMANDS = ("TOGGLE SAVING", "GET ARRAYS", "SUBSCRIBE", "STATS")


def _capabilities(request: Request, theirs: Answer, ours: Answer) -> Answer | None:
    if not _has("INFO", request) or theirs.reply["error_msg"] is not None:
        return None
    known = theirs.reply["payload"]["capabilities"]
    offered = ours.reply["payload"]["capabilities"]
    # Where the new commands stand among the old ones is left open.
    kept = [cmd for cmd in offered if cmd not in NEW_COMMANDS]
    as_promised = kept == known and all(offered.count(cmd) == 1 for cmd in NEW_COMMANDS)
    promised = offered if as_promised else [*known, *NEW_COMMANDS]
    payload = {**theirs.reply["payload"], "capabilities": promised}
    return replace(theirs, reply={**theirs.reply, "payload": payload})


DIFFERENCES = [
    Difference(
        "the reply to SET ACT names it",
        "the original answers with SCAN's cmd and text",
        _named_reply("SET ACT", "Actuators set on scanners"),
    ),
    Difference(
        "the reply to SET DIAG names it",
        "the original answers with SCAN's cmd and text",
        _named_reply("SET DIAG", "Diagnostics set on scanners"),
    ),
    Difference(
        "UPDATE ACT POS has its own callback",
        "the original calls on_set_actuators with the whole message, whatever the payload, "
        "and answers with SCAN's cmd and text",
        _update_actuators,
    ),
    Difference(
        "TOGGLE SAVING is served",
        "the original has the message but registers no handler",
        _toggle_saving,
    ),
    Difference(
        "INFO's capabilities name TOGGLE SAVING, GET ARRAYS, SUBSCRIBE and STATS",
        "they are served",
        _capabilities,
    ),
    Difference(
        "what is no JSON gets an error",
        "the original's thread dies of text that is not UTF-8 or not JSON",
    ),
    Difference(
        "several frames get an error",
        "the original's thread dies of a second frame",
    ),
    Difference(
        "a cmd that is a list or an object gets an error",
        "the original's thread dies of looking it up",
    ),
    Difference(
        "an integer of more than 4300 digits gets an error",
        "Python refuses to read it and the original's thread dies",
    ),
    Difference(
        "too deep nesting gets an error",
        "Python refuses to read it and the original's thread dies",
    ),
    Difference(
        "set_data refuses what is no dict",
        "the original stores it, raising or not, and dies at the next GET",
    ),
    Difference(
        "data that cannot be sent is an error in GET",
        "the original dies at the next GET",
    ),
    Difference(
        "sets, paths and complex numbers are sent",
        "the original stores them and dies at the next GET",
    ),
    Difference(
        "set_data takes keys that cannot be sorted",
        "the original stores and sends them too, but its debug log raises TypeError",
    ),
    Difference(
        "a handler that raises gets an error sent",
        "the original's thread dies",
    ),
    Difference(
        "a handler that sends nothing gets an empty reply sent",
        "the original never answers anybody again",
    ),
    Difference(
        "a handler that sends twice does no harm",
        "the original's thread dies after the first reply",
    ),
]

DEADLY = {
    "JSON": "what is no JSON gets an error",
    "frames": "several frames get an error",
    "cmd": "a cmd that is a list or an object gets an error",
    "digits": "an integer of more than 4300 digits gets an error",
    "depth": "too deep nesting gets an error",
}


def promised(request: Request, theirs: Answer, ours: Answer) -> tuple[Answer, set[str]]:
    """Return what we promise where the original answered so, and which differences that took."""
    applied = set()
    for difference in DIFFERENCES:
        if difference.promise is None:
            continue
        answer = difference.promise(request, theirs, ours)
        if answer is not None:
            theirs = answer
            applied.add(difference.name)
    return theirs, applied


def cause_of_death(frames: list[bytes]) -> str:
    """Return the key in DEADLY of why the original dies of a request; fail if it should not."""
    if len(frames) > 1:
        return "frames"
    try:
        message = json.loads(frames[0].decode())
    except (UnicodeDecodeError, json.JSONDecodeError):
        return "JSON"
    except ValueError:
        return "digits"
    except RecursionError:
        return "depth"
    assert isinstance(message["cmd"], list | dict), "the original has no reason to die"
    return "cmd"


def check_error_to_deadly(frames: list[bytes], reply: Any, sender: str) -> None:
    """Check our reply to a request of which the original died.

    A field that can be read is echoed. Where Python cannot read the whole, the envelope scanner may
    still have read the field: both the value and "UNKNOWN" are right.
    """
    unknown = "UNKNOWN"
    cause = cause_of_death(frames)
    targets: list[Any] = [unknown]
    cmds: list[Any] = [unknown]
    if cause == "cmd":
        message = json.loads(frames[0])
        targets, cmds = [message["from"]], [message["cmd"]]
    elif cause in ("digits", "depth"):
        targets.append("me")
        cmds += ["PING", "SAVE"]
    elif cause == "frames":
        targets += _field(frames[0], "from")
        cmds += _field(frames[0], "cmd")
    error = reply["error_msg"]
    assert isinstance(error, str)
    assert error
    candidates = [
        protocol.make_error(sender, target, cmd=cmd, error_msg=error)
        for target in targets
        for cmd in cmds
    ]
    assert describe(reply) in [describe(candidate) for candidate in candidates]


def _field(frame: bytes, name: str) -> list[Any]:
    try:
        message = json.loads(frame)
    except ValueError:
        return []
    return [message[name]] if isinstance(message, dict) and name in message else []
