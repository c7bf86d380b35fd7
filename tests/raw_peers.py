"""Clients for tests that a plain REQ socket cannot play: any frames, any socket, raw TCP.

Nothing here knows the server's insides; what a test sends is what goes over the wire.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import zmq

from laplace_server import ServerLHC
from laplace_server.engine import LIMITS

VERSION = "0.2.2"
PATIENCE_S = 20.0  # after this an answer that should come is missing


def request(cmd: Any, payload: Any = None, sender: Any = "tester", version: str = VERSION) -> bytes:
    """A well-formed request."""
    message = {"from": sender, "to": "server", "cmd": cmd, "payload": payload or {}}
    return json.dumps({**message, "version": version}).encode()


@contextlib.contextmanager
def serving(
    address: str = "tcp://127.0.0.1:*", kind: type[ServerLHC] = ServerLHC, **arguments: Any
) -> Iterator[ServerLHC]:
    """A started server, stopped and gone at the end.

    Reads of live data wait for a look, also on a machine that stands still for a moment.
    """
    given = {"name": "device", "freedom": 1, "device": "MOTOR", "data": {}}
    server = kind(address=address, **{**given, "refresh_timeout_ms": 5000, **arguments})
    server.start()
    try:
        yield server
    finally:
        server.stop()
        server.join(PATIENCE_S)
        assert not server.is_alive(), "the server's thread has not ended"


def limited(**limits: int) -> type[ServerLHC]:
    """A kind of server with other limits than the default."""

    class Limited(ServerLHC):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            with mock.patch.dict(LIMITS, limits):
                super().__init__(*arguments, **named)

    return Limited


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> None:
    """Poll for something that has no event to wait for; fail after a while."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.002)


def bind(socket: zmq.Socket[bytes], address: str) -> None:
    """Bind to an address that has just been given back.

    Windows may need a moment more, until the connections to it have ended on both sides.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.bind(address)
            return
        except zmq.ZMQError as problem:
            late = time.monotonic() > deadline
            if sys.platform != "win32" or problem.errno != zmq.EADDRINUSE or late:
                raise
        time.sleep(0.02)


class Peer:
    """A socket of any kind, connected to a server; no time-out is ever silent."""

    def __init__(
        self,
        server: ServerLHC | str,
        kind: int = zmq.REQ,
        *,
        routing_id: bytes | None = None,
        options: dict[int, int] | None = None,
    ) -> None:
        self.address = server if isinstance(server, str) else server.address
        self.address = self.address.replace("*:", "127.0.0.1:").replace("0.0.0.0", "127.0.0.1")
        self.kind = kind
        self.context = zmq.Context.instance()
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
        self.socket.close(linger=0)

    def send_frames(self, frames: Sequence[bytes]) -> None:
        self.socket.send_multipart(list(frames))

    def send(self, body: bytes) -> None:
        """A body in the envelope that the socket kind needs."""
        self.send_frames([body] if self.kind == zmq.REQ else [b"", body])

    def receive_frames(self, seconds: float = PATIENCE_S) -> list[bytes]:
        # Not poll(): a correlating REQ is readable when all there is to read is out of date.
        self.socket.rcvtimeo = int(seconds * 1000)
        try:
            return self.socket.recv_multipart()
        except zmq.Again:
            raise TimeoutError(f"no answer within {seconds:g} s") from None

    def receive(self, seconds: float = PATIENCE_S) -> Any:
        """The next reply, decoded."""
        frames = self.receive_frames(seconds)
        if self.kind != zmq.REQ:
            assert frames[0] == b"", "the delimiter comes back"
            del frames[0]
        assert len(frames) == 1, "a reply is one frame"
        return json.loads(frames[0])

    def ask(self, cmd: Any, payload: Any = None, **changes: Any) -> Any:
        """Send a command and return the whole reply."""
        self.send(request(cmd, payload, **changes))
        return self.receive()

    def ask_raw(self, body: bytes) -> Any:
        self.send(body)
        return self.receive()

    def silent(self, seconds: float = 0.1) -> bool:
        """Whether nothing arrives for a while."""
        return not self.socket.poll(int(seconds * 1000))


def ask(server: ServerLHC | str, cmd: Any, payload: Any = None) -> Any:
    """One question by a client of its own."""
    with Peer(server) as peer:
        return peer.ask(cmd, payload)


class Gate:
    """A callback that blocks until it is let through, and says when it has begun."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.begun = threading.Semaphore(0)
        self._open = threading.Semaphore(0)
        self._wide_open = False

    def __call__(self, *arguments: Any) -> None:
        self.calls.append(arguments[0] if len(arguments) == 1 else arguments)
        self.begun.release()
        if not self._wide_open:
            assert self._open.acquire(timeout=PATIENCE_S), "the gate was never opened"

    def wait_begun(self) -> None:
        assert self.begun.acquire(timeout=PATIENCE_S), "the callback was not called"

    def let_one_through(self) -> None:
        self._open.release()

    def open(self) -> None:
        self._wide_open = True
        self._open.release(1000)


class RawPeer:
    """A TCP connection that speaks just enough ZMTP 3.0 to be a peer, and reads only when asked."""

    GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)

    def __init__(self, server: ServerLHC, routing_id: bytes | None = None) -> None:
        self.socket = connect_tcp(server)
        try:
            self.socket.sendall(self.GREETING)
            self.read_exactly(64)
            self.socket.sendall(self.ready(routing_id))
            self.read_frame()  # the server's READY
        except BaseException:
            self.socket.close()
            raise

    @staticmethod
    def ready(routing_id: bytes | None = None) -> bytes:
        properties = {b"Socket-Type": b"DEALER"}
        if routing_id is not None:
            properties[b"Identity"] = routing_id
        body = b"\x05READY"
        for name, value in properties.items():
            body += bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
        return b"\x04" + bytes([len(body)]) + body

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @staticmethod
    def frame(body: bytes, more: bool = False) -> bytes:
        if len(body) < 256:
            return bytes([int(more), len(body)]) + body
        return bytes([int(more) | 2]) + struct.pack(">Q", len(body)) + body

    def message(self, frames: Sequence[bytes]) -> bytes:
        return b"".join(self.frame(f, i + 1 < len(frames)) for i, f in enumerate(frames))

    def send_frames(self, frames: Sequence[bytes]) -> None:
        self.socket.sendall(self.message(frames))

    def send(self, body: bytes) -> None:
        self.send_frames([b"", body])

    def read_exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionError("closed by the server")
            data += more
        return bytes(data)

    def read_frame(self) -> tuple[bytes, bool]:
        flags = self.read_exactly(1)[0]
        size = (
            struct.unpack(">Q", self.read_exactly(8))[0] if flags & 2 else self.read_exactly(1)[0]
        )
        return self.read_exactly(size), bool(flags & 1)

    def receive_frames(self) -> list[bytes]:
        frames, more = [], True
        while more:
            body, more = self.read_frame()
            frames.append(body)
        return frames

    def receive(self) -> Any:
        return json.loads(self.receive_frames()[-1])


def connect_tcp(server: ServerLHC) -> socket.socket:
    """A bare TCP connection to a server's port."""
    connection = socket.create_connection(("127.0.0.1", int(server.server_port)), PATIENCE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@contextlib.contextmanager
def proxy(behind: ServerLHC | str) -> Iterator[str]:
    """A ``zmq.proxy`` in front of a server, or of an address; yields where clients connect to."""
    context = zmq.Context()
    front, back, control = (context.socket(k) for k in (zmq.ROUTER, zmq.DEALER, zmq.PAIR))
    for each in (front, back, control):
        each.linger = 0
    port = front.bind_to_random_port("tcp://127.0.0.1")
    control.bind("inproc://control")
    back.connect(behind if isinstance(behind, str) else behind.address)

    def run() -> None:
        with contextlib.suppress(zmq.ContextTerminated):
            zmq.proxy_steerable(front, back, None, control)
        for each in (front, back, control):
            each.close()

    thread = threading.Thread(target=run, name="proxy")
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        context.term()
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the proxy has not ended"


def run_script(
    source: str,
    *arguments: str,
    timeout_s: float = 60.0,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run Python source in a fresh process; fail with its output if it fails or hangs."""
    source = textwrap.dedent(source)
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", source, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    if check and result.returncode != 0:
        raise AssertionError(
            f"exit status {result.returncode}\n--- output\n{result.stdout}\n"
            f"--- errors\n{result.stderr}"
        )
    return result
