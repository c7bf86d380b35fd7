"""A bare client: plain pyzmq and json, so that tests of the server use nothing of ours."""

from __future__ import annotations

import json
from typing import Any

import zmq

PROTOCOL_VERSION = "0.2.2"
PATIENCE_S = 20.0


def message(cmd: Any, payload: Any = None, **fields: Any) -> dict[str, Any]:
    """A request; ``fields`` replace what it says otherwise."""
    plain = {
        "from": "raw client",
        "to": "server",
        "cmd": cmd,
        "payload": {} if payload is None else payload,
        "version": PROTOCOL_VERSION,
        "error_msg": None,
        "msg": None,
    }
    return {**plain, **fields}


class RawClient:
    """One REQ or DEALER socket. Replies come within ``PATIENCE_S`` or the test fails."""

    def __init__(self, context: zmq.Context[Any], address: str, kind: int = zmq.REQ) -> None:
        self.kind = kind
        self.socket = context.socket(kind)
        self.socket.linger = 0
        self.socket.rcvtimeo = int(PATIENCE_S * 1000)
        self.socket.connect(address)

    def send(self, cmd: Any, payload: Any = None, **fields: Any) -> None:
        body = json.dumps(message(cmd, payload, **fields)).encode()
        self.socket.send_multipart([b"", body] if self.kind == zmq.DEALER else [body])

    def receive(self) -> dict[str, Any]:
        reply = json.loads(self.socket.recv_multipart()[-1])
        assert isinstance(reply, dict)
        return reply

    def answered(self, within_s: float) -> bool:
        """Whether a reply can be received."""
        return bool(self.socket.poll(int(within_s * 1000)))

    def request(self, cmd: Any, payload: Any = None, **fields: Any) -> dict[str, Any]:
        """Send a request and return its whole reply."""
        self.send(cmd, payload, **fields)
        return self.receive()

    def get(self) -> Any:
        """The data, from a GET that must succeed."""
        reply = self.request("GET")
        assert reply["error_msg"] is None, reply
        return reply["payload"]["data"]

    def info(self) -> dict[str, Any]:
        reply = self.request("INFO")
        assert reply["error_msg"] is None, reply
        payload = reply["payload"]
        assert isinstance(payload, dict)
        return payload

    def close(self) -> None:
        self.socket.close()
