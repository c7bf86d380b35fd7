"""What a server is asked to do, and what every server program has in common."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.common.programs import compute


@dataclass(frozen=True)
class Work:
    """One kind of request, and what happens in the server's process meanwhile."""

    floats: int = 2
    """Length of the list of numbers under "values" that a read returns."""
    command: bool = False
    """The request is a command with two positions, handed to a Python function, not a read."""
    on_get: bool = False
    """A read calls a Python function of the user, ``prepare``, before it is answered."""
    live: bool = False
    """The program keeps a reference to the data it published (matters to laplace-server only)."""
    pad: int = 0
    """Bytes that the request carries and nobody looks at."""
    publish_hz: float = 0.0
    """How often the program publishes new values meanwhile, ``values(floats, n)`` the n-th time."""
    curve: bool = False
    """All is encrypted, by CURVE."""
    busy: bool = False
    """A Python thread computes in the server's process."""


POSITIONS = [1.0, 2.0]


def values(floats: int, turn: int = 0) -> list[float]:
    """What a read returns at the given turn of publishing; there are eight of them."""
    return [1.5 + turn % 8 + number / 7 for number in range(floats)]


def prepare() -> None:
    """Do what a callback does: as good as nothing."""


def move(positions: list[float]) -> None:
    """Take the positions of a command; wrong ones are a fault of the peer's module."""
    if list(positions) != POSITIONS:
        raise ValueError(f"not the positions that were sent: {positions}")


def request_of(work: Work) -> bytes:
    """The request in the protocol of laplace-server."""
    command = "SET" if work.command else "GET"
    payload: dict[str, Any] = {"positions": POSITIONS} if work.command else {}
    if work.pad:
        payload["pad"] = "x" * work.pad
    fields = {"from": "bench", "to": "device", "cmd": command, "payload": payload}
    return json.dumps({**fields, "version": "0.2.2", "error_msg": None, "msg": None}).encode()


def reply_of(work: Work) -> bytes:
    """What laplace-server answers to it, byte for byte, as long as nothing new is published."""
    if work.command:
        return (
            b'{"from":"device","to":"bench","cmd":"SET","payload":{},"version":"0.2.2",'
            b'"error_msg":null,"msg":"Positions updated."}'
        )
    data = json.dumps({"values": values(work.floats)}, separators=(",", ":"))
    return (
        '{"from": "device", "to": "bench", "cmd": "GET", "payload": {"data": ' + data + "}, "
        '"version": "0.2.2", "error_msg": null, "msg": "Data sent."}'
    ).encode()


class Client(Protocol):
    """One client of one server, used by one thread."""

    def request(self) -> Any:
        """Do the work once: the values read, as a list; True for a command that was carried out."""

    def close(self) -> None:
        """Disconnect."""


def begin_company(work: Work, publish: Callable[[list[float]], object] | None = None) -> None:
    """Start what goes on beside the server: the computing thread, the publishing one."""
    if work.publish_hz:
        if publish is None:
            raise ValueError("this peer has no way to publish")
        threading.Thread(target=_publish, args=(work, publish), daemon=True).start()
    if work.busy:
        threading.Thread(target=compute, args=(threading.Event(),), daemon=True).start()


def _publish(work: Work, publish: Callable[[list[float]], object]) -> None:
    turn, due = 0, time.perf_counter()
    while True:
        publish(values(work.floats, turn))
        turn += 1
        due += 1 / work.publish_hz
        time.sleep(max(0.0, due - time.perf_counter()))
