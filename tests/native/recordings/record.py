"""Record what libzmq says and hears, for zmtp_recordings_test.cpp.

python tests/native/recordings/record.py [FOLDER]

Real sockets of pyzmq talk to a plain TCP socket, which says what our state machine says in its
place, so libzmq has taken every byte that the test demands of it. A file holds one conversation:
lines of "libzmq" or "we" and bytes in hex; lines of one side that follow one another are one text.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

HERE = Path(__file__).resolve().parent
BYTES_A_LINE = 40
TIMEOUT = 10.0
HEARTBEAT_MS = 50
GREETING = b"\xff" + bytes(7) + b"\x01\x7f\x03\x01NULL" + bytes(48)
LONG = bytes(range(256)) + b"more than one byte counts"


def frame(body: bytes, flags: int = 0) -> bytes:
    if len(body) < 256:
        return struct.pack(">BB", flags, len(body)) + body
    return struct.pack(">BQ", flags | 2, len(body)) + body


def message(*frames: bytes) -> bytes:
    return b"".join(frame(each, 1) for each in frames[:-1]) + frame(frames[-1])


def command(name: bytes, data: bytes) -> bytes:
    return frame(bytes([len(name)]) + name + data, 4)


def ready(socket_type: bytes, identity: bytes = b"") -> bytes:
    properties = ((b"Socket-Type", socket_type), (b"Identity", identity))
    texts = (bytes([len(n)]) + n + struct.pack(">I", len(v)) + v for n, v in properties)
    return command(b"READY", b"".join(texts))


class Peer:
    """Our side of the connection, which notes all that passes."""

    def __init__(self, plain: socket.socket) -> None:
        plain.settimeout(TIMEOUT)
        self._plain = plain
        self.said: list[tuple[str, bytes]] = []

    def _note(self, who: str, data: bytes) -> None:
        if self.said and self.said[-1][0] == who:
            data = self.said.pop()[1] + data
        self.said.append((who, data))

    def send(self, data: bytes) -> None:
        self._plain.sendall(data)
        self._note("we", data)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._plain.recv(size - len(data))
            if not part:
                raise EOFError(f"closed after {data!r}")
            data += part
        self._note("libzmq", data)
        return data

    def greeting(self) -> None:
        self._read(len(GREETING))

    def frame(self) -> tuple[int, bytes]:
        """The next frame's flags and body."""
        flags, size = self._read(2)
        if flags & 2:
            size = int.from_bytes(bytes([size]) + self._read(7), "big")
        return flags & ~2, self._read(size)

    def message(self) -> list[bytes]:
        """The next message; PINGs before it are answered."""
        frames = []
        while True:
            flags, body = self.frame()
            if flags & 4:
                self.answer(body)
                continue
            frames.append(body)
            if not flags & 1:
                return frames

    def answer(self, body: bytes) -> None:
        if body.startswith(b"\x04PING"):
            self.send(command(b"PONG", body[7:]))

    def answer_pings(self, count: int) -> None:
        for _ in range(count):
            flags, body = self.frame()
            assert flags & 4, body
            assert body.startswith(b"\x04PING"), body
            self.answer(body)

    def is_closed(self) -> bool:
        return self._plain.recv(1) == b""


@contextmanager
def socket_of(kind: int, options: dict[int, Any]) -> Iterator[Any]:
    with zmq.Context() as context, context.socket(kind) as its:
        its.setsockopt(zmq.LINGER, 0)
        its.setsockopt(zmq.RCVTIMEO, int(1000 * TIMEOUT))
        its.setsockopt(zmq.RECONNECT_IVL, -1)
        for option, value in options.items():
            its.setsockopt(option, value)
        yield its


@contextmanager
def connecting(kind: int, options: dict[int, Any]) -> Iterator[tuple[Any, Peer]]:
    """libzmq connects to us, who answer as a ROUTER."""
    with socket_of(kind, options) as its, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)
        its.connect(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        plain, _ = listener.accept()
        with plain:
            # The rest later: whom it displeases may close before the rest of its own has left.
            peer = Peer(plain)
            peer.send(GREETING[:12])
            peer.greeting()
            peer.send(GREETING[12:])
            yield its, peer


@contextmanager
def bound(kind: int, options: dict[int, Any], ours: bytes) -> Iterator[tuple[Any, Peer]]:
    """We connect to libzmq, and say READY with the greeting."""
    with socket_of(kind, options) as its:
        port = its.bind_to_random_port("tcp://127.0.0.1")
        with socket.create_connection(("127.0.0.1", port)) as plain:
            peer = Peer(plain)
            peer.send(GREETING + ready(ours))
            peer.greeting()
            assert peer.frame()[1].startswith(b"\x05READY")
            yield its, peer


def shake_hands(peer: Peer) -> None:
    assert peer.frame()[1].startswith(b"\x05READY")
    peer.send(ready(b"ROUTER"))


def req() -> Peer:
    """A REQ asks twice."""
    with connecting(zmq.REQ, {}) as (its, peer):
        shake_hands(peer)
        for request in (b'{"cmd": "PING"}', LONG):
            its.send(request)
            assert peer.message() == [b"", request]
            peer.send(message(b"", b"reply to " + request))
            assert its.recv() == b"reply to " + request
        return peer


def req_correlate() -> Peer:
    """A REQ that numbers its requests, and gives up the first."""
    options = {zmq.REQ_CORRELATE: 1, zmq.REQ_RELAXED: 1}
    with connecting(zmq.REQ, options) as (its, peer):
        shake_hands(peer)
        its.send(b"first")
        first = peer.message()
        its.send(b"second")
        second = peer.message()
        peer.send(message(*first[:2], b"late") + message(*second[:2], b"reply"))
        assert its.recv() == b"reply"
        return peer


def dealer() -> Peer:
    """A DEALER with an identity: several frames, empty ones, long ones."""
    with connecting(zmq.DEALER, {zmq.IDENTITY: b"an identity"}) as (its, peer):
        shake_hands(peer)
        for frames in (
            [b"", b"a"],
            [b"", LONG],
            [b"p", b"", b"b"],
            [b"", b"1", LONG, b"", b"2"],
            [b""],
        ):
            its.send_multipart(frames)
            assert peer.message() == frames
        peer.send(message(b"", LONG, b""))
        assert its.recv_multipart() == [b"", LONG, b""]
        return peer


def dealer_metadata() -> Peer:
    """A DEALER that says more of itself in READY, which gets long by it."""
    options = {zmq.METADATA: b"X-Place:" + b"cold " * 50, zmq.IDENTITY: bytes([1]) * 255}
    with connecting(zmq.DEALER, options) as (its, peer):
        shake_hands(peer)
        its.send_multipart([b"", b"a"])
        assert peer.message() == [b"", b"a"]
        return peer


def dealer_heartbeat() -> Peer:
    """A DEALER that wants to know whether we live."""
    options = {zmq.HEARTBEAT_IVL: HEARTBEAT_MS, zmq.HEARTBEAT_TTL: 2500}
    with connecting(zmq.DEALER, options) as (its, peer):
        shake_hands(peer)
        peer.answer_pings(3)
        its.send_multipart([b"", b"a"])
        assert peer.message() == [b"", b"a"]
        return peer


def router() -> Peer:
    """A ROUTER that connects to us."""
    with connecting(zmq.ROUTER, {zmq.CONNECT_ROUTING_ID: b"us"}) as (its, peer):
        shake_hands(peer)
        peer.send(message(b"", b"hello"))
        assert its.recv_multipart() == [b"us", b"", b"hello"]
        its.send_multipart([b"us", b"", b"and you"])
        assert peer.message() == [b"", b"and you"]
        return peer


def sub() -> Peer:
    """A SUB, which cannot talk to a ROUTER, and hears so."""
    with connecting(zmq.SUB, {}) as (_, peer):
        assert peer.frame()[1].startswith(b"\x05READY")
        peer.send(command(b"ERROR", b"\x18incompatible-socket-type"))
        assert peer.is_closed()
        return peer


def curve() -> Peer:
    """A REQ that wants encryption: its greeting is the last that we hear."""
    public, secret = zmq.curve_keypair()
    options = {
        zmq.CURVE_SERVERKEY: public,
        zmq.CURVE_PUBLICKEY: public,
        zmq.CURVE_SECRETKEY: secret,
    }
    with connecting(zmq.REQ, options) as (_, peer):
        return peer


def bound_router() -> Peer:
    """A ROUTER that we are a DEALER of."""
    with bound(zmq.ROUTER, {}, b"DEALER") as (its, peer):
        for request in (b"a", LONG):
            peer.send(message(b"", request))
            frames = its.recv_multipart()
            assert frames[1:] == [b"", request]
            its.send_multipart([*frames, LONG, b""])
            assert peer.message() == [b"", request, LONG, b""]
        peer.send(command(b"PING", b"\x00\x0acontext of 16 by") + command(b"PING", b"\x00\x00"))
        for context in (b"context of 16 by", b""):
            assert peer.frame() == (4, b"\x04PONG" + context)
        return peer


def bound_router_heartbeat() -> Peer:
    """A ROUTER with an identity that wants to know whether we live, in our name a REQ."""
    options = {zmq.HEARTBEAT_IVL: HEARTBEAT_MS, zmq.IDENTITY: b"the server"}
    with bound(zmq.ROUTER, options, b"REQ") as (its, peer):
        peer.answer_pings(2)
        peer.send(message(b"", b"a"))
        its.send_multipart(its.recv_multipart())
        assert peer.message() == [b"", b"a"]
        return peer


def bound_rep() -> Peer:
    """A REP that we are a DEALER of."""
    with bound(zmq.REP, {}, b"DEALER") as (its, peer):
        peer.send(message(b"route", b"", b"a"))
        assert its.recv() == b"a"
        its.send(b"reply")
        assert peer.message() == [b"route", b"", b"reply"]
        return peer


SCENES: list[Callable[[], Peer]] = [
    req, req_correlate, dealer, dealer_metadata, dealer_heartbeat, router, sub, curve,
    bound_router, bound_router_heartbeat, bound_rep,
]  # fmt: skip


def lines_of(scene: Callable[[], Peer]) -> Iterator[str]:
    yield f"# {scene.__doc__} libzmq {zmq.zmq_version()}"
    for who, data in scene().said:
        for at in range(0, len(data), BYTES_A_LINE):
            yield f"{who} {data[at : at + BYTES_A_LINE].hex()}"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for scene in SCENES:
        path = folder / f"{scene.__name__}.txt"
        path.write_text("".join(f"{line}\n" for line in lines_of(scene)))
        print(path.name)


if __name__ == "__main__":
    main()
