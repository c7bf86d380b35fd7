"""Security of servers that tests make, and what their logs say."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from support.keys import new_pair
from support.peers import message

from laplace_server.protocol import LOGGER_NAME
from laplace_server.security import ServerSecurity

# What each command may be asked with.
VALUES = {"positions": [1], "path": "p", "data": {}, "actuators": [], "diagnostics": []}
PAYLOAD = {**VALUES, "saving status": True, "stream": "s", "start": "latest"}
PAYLOAD |= {"subscription": 1, "messages": 0, "bytes": 0}


def secured(anonymous: Any = None, allowed: Any = None) -> ServerSecurity:
    """Security with a key of its own, and whom it serves."""
    return ServerSecurity(new_pair().secret, allowed, anonymous)


def logged(caplog: pytest.LogCaptureFixture, *parts: str, level: int = logging.INFO) -> list[str]:
    """What the server has logged, with all these parts."""
    texts = [
        record.getMessage()
        for record in caplog.records
        if record.name == LOGGER_NAME and record.levelno >= level
    ]
    return [text for text in texts if all(part in text for part in parts)]


def denial(cmd: str, role: str = "anonymous") -> str:
    return f"not permitted: the role '{role}' may not use '{cmd}'"


def odd(cmd: Any, **fields: Any) -> bytes:
    """A request that only Python can tell: a key is written with an escape."""
    body = json.dumps(message(cmd, PAYLOAD, **fields)).replace('"cmd"', '"c\\u006dd"')
    return body.encode()
