"""Replies that the core fills in by itself, cut from what ``protocol`` builds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from laplace_server.protocol import (
    PROTOCOL_VERSION,
    Message,
    make_error,
    make_get_arrays_reply,
    make_get_reply,
    make_info_reply,
    make_pong,
)
from laplace_server.server._core import Hole
from laplace_server.wire.limits import too_large, too_many_frames

Pieces = list[tuple[bytes, Hole]]


# Stand-ins for what is filled in later. No name can hold one: JSON escapes the NUL.
_MARKS = {hole: f"\0{hole.name}\0" for hole in Hole}
_MARK_TEXT = re.compile(r'"\\u0000([A-Z]+)\\u0000"')


def reply_templates(name: str) -> dict[str, Pieces]:
    """Templates of the replies of a server of this name."""
    to = _MARKS[Hole.TO]
    body: Any = _MARKS[Hole.BODY]
    info = make_info_reply(name, to, device="", freedom=0, name=name, capabilities=[])
    info["payload"] = body
    arrays = make_get_arrays_reply(name, to, data=None, arrays=[])
    arrays["payload"] = body
    error = make_error(name, to, cmd=_MARKS[Hole.CMD], error_msg=_MARKS[Hole.ERROR])
    return {
        "ping": _cut(make_pong(name, to)),
        "info": _cut(info),
        "get": _cut(make_get_reply(name, to, data=body)),
        "arrays": _cut(arrays),
        "error": _cut(error),
    }


def reply_texts(limits: Mapping[str, int]) -> dict[str, bytes]:
    """JSON texts that the loop puts into the holes of the error template."""
    texts = {
        "version": PROTOCOL_VERSION,
        "unknown": "UNKNOWN",
        "busy": "Server busy: too many requests are waiting. Try again later.",
        "stopping": "Server stopping: the request was not carried out.",
        "stopping_begun": (
            "Server stopping: the command was begun, and whether it is carried out is not known."
        ),
        "too_large": too_large(limits["max_message_bytes"]),
        "too_many_frames": too_many_frames(limits["max_message_frames"]),
    }
    return {key: json.dumps(text).encode() for key, text in texts.items()}


def _cut(message: Message) -> Pieces:
    message["version"] = _MARKS[Hole.VERSION]
    # A name may hold what looks like a mark: it is put in after the marks were found.
    name = message["from"]
    message["from"] = None
    literals = _MARK_TEXT.split(json.dumps(message))
    literals[0] = literals[0].replace('"from": null', f'"from": {json.dumps(name)}', 1)
    pieces = []
    for i in range(0, len(literals), 2):
        hole = Hole[literals[i + 1]] if i + 1 < len(literals) else Hole.NONE
        pieces.append((literals[i].encode(), hole))
    return pieces
