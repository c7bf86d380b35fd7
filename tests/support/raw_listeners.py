"""What a client connects to, byte by byte: TCP connections that a test speaks for."""

from __future__ import annotations

import socket
import struct

from support.machine import WINDOWS
from support.peers import PATIENCE_S
from support.raw_peers import RawPeer

from laplace_server.client._frames import DEALER, Connection

GREETING = RawPeer.GREETING


def frame(body: bytes, more: bool = False) -> bytes:
    return RawPeer.frame(body, more)


def message(*frames: bytes) -> bytes:
    last = len(frames) - 1
    return b"".join(frame(each, place != last) for place, each in enumerate(frames))


def command(body: bytes) -> bytes:
    return b"\x04" + bytes([len(body)]) + body


def ready(socket_type: bytes = b"ROUTER") -> bytes:
    name = b"Socket-Type"
    sized = bytes([len(name)]) + name + struct.pack(">I", len(socket_type)) + socket_type
    return command(b"\x05READY" + sized)


OPENING = GREETING + ready()


def ping(context: bytes = b"") -> bytes:
    return command(b"\x04PING\x00\x00" + context)


def pong(context: bytes = b"") -> bytes:
    return command(b"\x04PONG" + context)


class RawListener:
    """A port of this machine, and the connections to it."""

    def __init__(self, host: str = "127.0.0.1", receive_buffer: int | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family)
        if receive_buffer is not None:  # connections have it from their listener
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind((host, 0))
        self._listener.listen(100)
        self._listener.settimeout(PATIENCE_S)
        self._accepted: list[socket.socket] = []
        self.host = host
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> RawListener:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (*self._accepted, self._listener):
            each.close()

    def accept(self) -> RawEnd:
        """Take the next connection."""
        accepted, _ = self._listener.accept()
        self._accepted.append(accepted)
        accepted.settimeout(PATIENCE_S)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return RawEnd(accepted)


class RawEnd:
    """One of a listener's connections."""

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted

    def send(self, *pieces: bytes) -> None:
        self.socket.sendall(b"".join(pieces))

    def open(self) -> None:
        """Shake hands."""
        self.send(OPENING)
        self.read_opening()

    def read_opening(self) -> bytes:
        """The client's type of socket."""
        assert self.read(64)[10:16] == b"\x03\x01NULL"
        flags, size = self.read(2)
        body = self.read(size)
        assert flags == 4
        assert body.startswith(b"\x05READY")
        return body.partition(b"Socket-Type")[2][4:].partition(b"\x08Identity")[0]

    def read(self, size: int) -> bytes:
        """So many bytes exactly."""
        data = bytearray()
        while len(data) < size:
            more = self.socket.recv(min(size - len(data), 1 << 20))
            if not more:
                raise ConnectionError(f"closed by the client after {len(data)} bytes of {size}")
            data += more
        return bytes(data)

    def read_message(self) -> list[bytes]:
        frames, more = [], True
        while more:
            flags = self.read(1)[0]
            assert flags < 4, flags
            size = int.from_bytes(self.read(8 if flags & 2 else 1), "big")
            frames.append(self.read(size))
            more = bool(flags & 1)
        return frames

    def ended(self) -> bool:
        """Wait for the client to close; False where it sends something instead."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def reset(self) -> None:
        """End it as a computer does that was switched off and on again."""
        linger = struct.pack("hh" if WINDOWS else "ii", 1, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close()


def begun(listener: RawListener, kind: int = DEALER) -> tuple[Connection, RawEnd]:
    """A connection of a client's, which has said its opening and heard nothing."""
    connection = Connection(kind, listener.host, listener.port)
    end = listener.accept()
    connection.wait(PATIENCE_S)
    assert connection.connected
    return connection, end


def opened(listener: RawListener, kind: int = DEALER) -> tuple[Connection, RawEnd]:
    """One that has shaken hands."""
    connection, end = begun(listener, kind)
    end.open()
    connection.wait(PATIENCE_S)
    assert connection.ready
    return connection, end
