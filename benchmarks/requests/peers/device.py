"""The instrument behind a server that calls Python for every request, and its JSON envelope."""

from __future__ import annotations

from typing import Any

from benchmarks.requests.work import Work, move, prepare, values


class Device:
    """What the plain servers offer: numbers to read, and a command to carry out."""

    def __init__(self, work: Work) -> None:
        self._on_get = work.on_get
        self._values = values(work.floats)

    def publish(self, new: list[float]) -> None:
        """Let reads return ``new``; one assignment, so it needs no lock."""
        self._values = new

    def read(self) -> list[float]:
        """Return the numbers published last."""
        if self._on_get:
            prepare()
        return self._values

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a message of the laplace-server protocol asks, and return the reply."""
        payload: dict[str, Any] = {}
        error = msg = None
        cmd = request["cmd"]
        if cmd == "GET":
            payload, msg = {"data": {"values": self.read()}}, "Data sent."
        elif cmd == "SET":
            move(request["payload"]["positions"])
            msg = "Positions updated."
        else:
            error = f"Unknown command: {cmd}."
        return {
            "from": "device",
            "to": request["from"],
            "cmd": cmd,
            "payload": payload,
            "version": "0.2.2",
            "error_msg": error,
            "msg": msg,
        }
