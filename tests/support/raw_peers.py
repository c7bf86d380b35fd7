"""Clients without libzmq: TCP connections that speak just enough ZMTP, or none."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

from support.peers import PATIENCE_S

from laplace_server import ServerLHC


class RawPeer:
    """A TCP connection that speaks just enough ZMTP 3.0 to be a peer, and reads only when asked."""

    GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)

    def __init__(
        self, server: ServerLHC, routing_id: bytes | None = None, receive_buffer: int = 0
    ) -> None:
        self.socket = connect_tcp(server, receive_buffer)
        try:
            self.socket.sendall(self.GREETING)
            self.read_exactly(64)
            self.socket.sendall(self.ready(routing_id))
            self.read_frame()  # the server's READY
        except BaseException:
            self.socket.close()
            raise

    @classmethod
    def over(cls, connection: socket.socket) -> RawPeer:
        """One over a connection that there is already, on which it has said nothing."""
        peer = cls.__new__(cls)
        peer.socket = connection
        return peer

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


def connect_tcp(server: ServerLHC, receive_buffer: int = 0) -> socket.socket:
    """A bare TCP connection to a server's port; ``receive_buffer`` in bytes, 0: the system's."""
    connection = socket.create_connection(("127.0.0.1", int(server.server_port)), PATIENCE_S)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def listens(port: int | str, host: str = "127.0.0.1") -> bool:
    """Whether anybody takes connections at a port."""
    try:
        socket.create_connection((host, int(port)), 5).close()
    except OSError:
        return False
    return True
