"""Plain pyzmq: a REP socket in a thread, with recv_json and send_json.

What a lab writes in an afternoon. The address is that of the socket.
"""

from __future__ import annotations

from typing import Any

from benchmarks.requests.peers import rep
from benchmarks.requests.work import Work

REQUIREMENT = "pyzmq==27.3.0"
CANNOT: dict[str, str] = {}


def answer(socket: Any, device: Any) -> None:
    """Answer one request."""
    socket.send_json(device.answer(socket.recv_json()))


def serve(work: Work) -> str:
    """Answer in a thread; return the address."""
    return rep.serve(work, answer)
