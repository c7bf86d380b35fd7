"""Plain pyzmq: a REP socket in a thread, with orjson for the JSON.

The same as ``pyzmq_json`` by someone who wants it fast. The address is that of the socket.
"""

from __future__ import annotations

from typing import Any

import orjson

from benchmarks.requests.peers import rep
from benchmarks.requests.work import Work

REQUIREMENT = "pyzmq==27.3.0 orjson==3.13.0"
CANNOT: dict[str, str] = {}


def answer(socket: Any, device: Any) -> None:
    """Answer one request."""
    socket.send(orjson.dumps(device.answer(orjson.loads(socket.recv()))))


def serve(work: Work) -> str:
    """Answer in a thread; return the address."""
    return rep.serve(work, answer)
