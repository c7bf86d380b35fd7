"""Servers of streams that do what no server should, and a network that breaks."""

from __future__ import annotations

import contextlib
import json
import queue
import select
import socket
import threading
from collections.abc import Callable
from typing import Any

import zmq
from raw_peers import PATIENCE_S, bind

Answer = Callable[[bytes], list[list[bytes]]]


class FakeServer:
    """A ROUTER in a thread: ``answer(body)`` gives what to send back; ``bodies`` is what came."""

    def __init__(self, answer: Answer, address: str = "tcp://127.0.0.1:*") -> None:
        self._answer = answer
        self.bodies: queue.Queue[bytes] = queue.Queue()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        bind(self._socket, address)
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._wake, self._control = self._context.socket(zmq.PAIR), self._context.socket(zmq.PAIR)
        self._wake.bind("inproc://wake")
        self._control.connect("inproc://wake")
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        poller = zmq.Poller()
        for each in (self._socket, self._control):
            poller.register(each, zmq.POLLIN)
        peer = b""
        while True:
            ready = dict(poller.poll())
            if self._socket in ready:
                peer, *_, body = self._socket.recv_multipart()
                for frames in self._answer(body):
                    self._socket.send_multipart([peer, *frames])
                self.bodies.put(body)
            if self._control in ready:
                frames = self._control.recv_multipart()
                if len(frames) == 1:
                    return
                self._socket.send_multipart([peer, *frames])

    def send(self, frames: list[bytes]) -> None:
        """Send a message to the one that was heard last."""
        self._wake.send_multipart(frames)

    def hear(self) -> bytes:
        """What comes next."""
        return self.bodies.get(timeout=PATIENCE_S)

    def __enter__(self) -> FakeServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.send(b"stop")
        self._thread.join(PATIENCE_S)
        self._context.destroy(linger=200)


def refuse(body: bytes) -> list[list[bytes]]:
    """Answer as a server that does not know streams; what is no JSON ends its thread."""
    message = json.loads(body)
    reply = {**message, "error_msg": "Unknown command", "payload": {}}
    return [[b"", json.dumps(reply).encode()]]


class Network:
    """Forwards TCP connections to a server, until they are cut or held."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._orders: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        self._reader, self._writer = socket.socketpair()
        self._held = False
        self._ended = False
        self._thread = threading.Thread(target=self._run)

    def cut(self) -> None:
        """Break all connections; new ones are possible."""
        self._do(self._close_all)

    def hold(self, held: bool = True) -> None:
        """Carry nothing over the present connections, which stay. New ones work."""

        def run() -> None:
            self._frozen = list(self._pairs.items()) if held else []
            if held:
                self._pairs.clear()

        self._do(run)

    def _do(self, order: Callable[[], Any]) -> None:
        done = threading.Event()
        self._orders.put(lambda: (order(), done.set()))
        self._writer.send(b"x")
        assert done.wait(PATIENCE_S)

    def _run(self) -> None:
        while not self._ended:
            readable, _, _ = select.select([self._listener, self._reader, *self._pairs], [], [])
            for each in readable:
                if each is self._listener:
                    self._accept()
                elif each is self._reader:
                    self._reader.recv(1)
                    self._orders.get()()
                elif each in self._pairs:
                    self._forward(each)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        self._pairs[client], self._pairs[server] = server, client

    def _forward(self, source: socket.socket) -> None:
        target = self._pairs[source]
        data = b""
        with contextlib.suppress(OSError):
            data = source.recv(1 << 16)
            target.sendall(data)
        if not data:
            for each in (source, target):
                self._pairs.pop(each, None)
                each.close()

    def _close_all(self) -> None:
        for each in self._pairs:
            each.close()
        self._pairs.clear()

    def __enter__(self) -> Network:
        self._frozen: list[tuple[socket.socket, socket.socket]] = []
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        def end() -> None:
            self._ended = True
            self._close_all()

        self._do(end)
        self._thread.join(PATIENCE_S)
        for pair in self._frozen:
            pair[0].close()
        for each in (self._listener, self._reader, self._writer):
            each.close()
