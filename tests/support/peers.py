"""Clients of plain pyzmq and json, so that tests of the server use nothing of ours."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import zmq

VERSION = "0.2.2"
PATIENCE_S = 20.0  # after this an answer that should come is missing


def message(cmd: Any, payload: Any = None, sender: Any = "tester", **fields: Any) -> dict[str, Any]:
    """A request; ``fields`` replace what it says otherwise."""
    plain = {
        "from": sender,
        "to": "server",
        "cmd": cmd,
        "payload": {} if payload is None else payload,
        "version": VERSION,
        "error_msg": None,
        "msg": None,
    }
    return {**plain, **fields}


def request(cmd: Any, payload: Any = None, sender: Any = "tester", **fields: Any) -> bytes:
    """The same as the body that is sent."""
    return json.dumps(message(cmd, payload, sender, **fields)).encode()


def address_of(server: Any) -> str:
    """Where clients on this machine connect to."""
    return f"tcp://127.0.0.1:{int(server.server_port)}"


class Peer:
    """A socket of any kind, connected to a server; no time-out is ever silent."""

    def __init__(
        self,
        server: Any,
        kind: int = zmq.REQ,
        *,
        context: zmq.Context[Any] | None = None,
        routing_id: bytes | None = None,
        options: Mapping[int, int | bytes] | None = None,
    ) -> None:
        """``server`` is one, or an address; without a ``context`` pyzmq's shared one is used."""
        self.address = server if isinstance(server, str) else server.address
        self.address = self.address.replace("*:", "127.0.0.1:").replace("0.0.0.0", "127.0.0.1")
        self.kind = kind
        self.context = context or zmq.Context.instance()
        self.socket = self.context.socket(kind)
        self.socket.linger = 0
        if routing_id is not None:
            self.socket.setsockopt(zmq.IDENTITY, routing_id)
        for option, value in (options or {}).items():
            self.socket.setsockopt(option, value)
        self.socket.connect(self.address)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    # ---- frames, in no envelope

    def send_frames(self, frames: Sequence[bytes]) -> None:
        self.socket.send_multipart(list(frames))

    def receive_frames(self, seconds: float = PATIENCE_S) -> list[bytes]:
        # Not poll(): a correlating REQ is readable when all there is to read is out of date.
        self.socket.rcvtimeo = int(seconds * 1000)
        try:
            return self.socket.recv_multipart()
        except zmq.Again:
            raise TimeoutError(f"no answer within {seconds:g} s") from None

    # ---- bodies, in the envelope that the kind of socket needs

    def send(self, cmd: Any, payload: Any = None, **fields: Any) -> None:
        """Send a command; bytes are the whole body."""
        body = cmd if isinstance(cmd, bytes) else request(cmd, payload, **fields)
        self.send_frames([body] if self.kind == zmq.REQ else [b"", body])

    def try_to_send(self, cmd: Any, payload: Any = None) -> None:
        """The same of who may have been refused by now: libzmq would wait for ever then."""
        self.socket.sndtimeo = 0
        with contextlib.suppress(zmq.Again):
            self.send(cmd, payload)

    def receive(self, seconds: float = PATIENCE_S) -> Any:
        """The next reply, decoded."""
        frames = self.receive_frames(seconds)
        if self.kind != zmq.REQ:
            assert frames[0] == b"", "the delimiter comes back"
            del frames[0]
        assert len(frames) == 1, "a reply is one frame"
        return json.loads(frames[0])

    def ask(self, cmd: Any, payload: Any = None, **fields: Any) -> Any:
        """Send a command, or a body, and return the whole reply."""
        self.send(cmd, payload, **fields)
        return self.receive()

    def get(self) -> Any:
        """The data, from a GET that must succeed."""
        reply = self.ask("GET")
        assert reply["error_msg"] is None, reply
        return reply["payload"]["data"]

    def info(self) -> Any:
        """What INFO tells; it must succeed."""
        reply = self.ask("INFO")
        assert reply["error_msg"] is None, reply
        return reply["payload"]

    def answered(self, within_s: float) -> bool:
        """Whether a reply can be received."""
        return bool(self.socket.poll(int(within_s * 1000)))

    def silent(self, seconds: float = 0.1) -> bool:
        """Whether nothing arrives for a while."""
        return not self.answered(seconds)


Connect = Callable[..., Peer]


def ask(server: Any, cmd: Any, payload: Any = None) -> Any:
    """One question by a client of its own."""
    with Peer(server) as peer:
        return peer.ask(cmd, payload)
