"""Servers that answer what a test says, so also what no server should."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from typing import Any

import zmq
from support.curve import Curve
from support.peers import PATIENCE_S, VERSION
from support.serving import bind

Answer = Callable[[bytes], list[list[bytes]]]
JsonAnswer = Callable[[dict[str, Any]], list[Any]]


class ScriptedServer:
    """A ROUTER in a thread: ``answer(body)`` gives the messages to send back, each from the empty
    frame on; ``bodies`` is what came. With ``curve`` it is one over CURVE."""

    def __init__(
        self, answer: Answer, address: str = "tcp://127.0.0.1:*", curve: Curve | None = None
    ) -> None:
        self._answer = answer
        self.bodies: queue.Queue[bytes] = queue.Queue()
        self._envelopes: list[list[bytes]] = []
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.ipv6 = "[" in address
        self._curve = curve
        self._zap = None if curve is None else curve.secure(self._socket)
        bind(self._socket, address)
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._wake, self._control = self._context.socket(zmq.PAIR), self._context.socket(zmq.PAIR)
        self._wake.bind("inproc://wake")
        self._control.connect("inproc://wake")
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        poller = zmq.Poller()
        for each in filter(None, (self._socket, self._control, self._zap)):
            poller.register(each, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self._curve is not None and self._zap in ready:
                self._curve.answer(self._zap)
            if self._socket in ready:
                frames = self._socket.recv_multipart()
                envelope, body = frames[: frames.index(b"", 1)], frames[-1]
                self._envelopes.append(envelope)
                for answer in self._answer(body):
                    self._socket.send_multipart([*envelope, *answer])
                self.bodies.put(body)
            if self._control in ready:
                to, *answer = self._control.recv_multipart()
                if not answer:
                    return
                self._socket.send_multipart([*self._envelopes[int(to)], *answer])

    def send(self, frames: list[bytes], to: int = -1) -> None:
        """Answer the last message that was heard, or the one of this number, from 0 on."""
        self._wake.send_multipart([b"%d" % to, *frames])

    def connections(self) -> int:
        """How many have been heard of."""
        return len({envelope[0] for envelope in self._envelopes})

    def hear(self) -> bytes:
        """What comes next."""
        return self.bodies.get(timeout=PATIENCE_S)

    def hear_json(self) -> Any:
        return json.loads(self.hear())

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._wake.send(b"stop")
            self._thread.join(PATIENCE_S)
        self._context.destroy(linger=200)


def answering(answer: JsonAnswer) -> Answer:
    """For requests: ``answer(message)`` gives replies, each a dict, bytes, or a list of frames."""

    def frames(reply: Any) -> list[bytes]:
        if isinstance(reply, list):
            return [b"", *reply]
        return [b"", reply if isinstance(reply, bytes) else json.dumps(reply).encode()]

    return lambda body: [frames(reply) for reply in answer(json.loads(body))]


def reply_to(message: dict[str, Any], payload: Any = None, **fields: Any) -> dict[str, Any]:
    """A reply; ``fields`` replace what it says otherwise."""
    return {
        "from": "scripted",
        "to": message["from"],
        "cmd": message["cmd"],
        "payload": {} if payload is None else payload,
        "version": VERSION,
        "error_msg": None,
        "msg": None,
        **fields,
    }


def echo(message: dict[str, Any]) -> list[Any]:
    """An answer: the payload."""
    return [reply_to(message, message["payload"])]


def silence(message: Any) -> list[Any]:
    """No answer."""
    return []


def refuse(body: bytes) -> list[list[bytes]]:
    """Answer as a server that does not know streams; what is no JSON ends its thread."""
    message = json.loads(body)
    reply = {**message, "error_msg": "Unknown command", "payload": {}}
    return [[b"", json.dumps(reply).encode()]]
