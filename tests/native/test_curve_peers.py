"""CURVE over real sockets: our state machines, in a program of their own, and pyzmq's sockets."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from support.native_build import CORE, NATIVE, WARNINGS, Builder
from support.sodium import libsodium
from zmq.utils.z85 import decode

SOURCES = [
    NATIVE / "curve_peer.cpp",
    *(path for room in ("crypto", "zmtp", "tcp") for path in sorted((CORE / room).glob("*.cpp"))),
    CORE / "base" / "interfaces.cpp",
]
SIZES = [0, 1, 150, 222, 223, 255, 256, 8191, 8192, 65_536, 5 << 20]
TIMEOUT_MS = 20_000

pytestmark = pytest.mark.skipif(not CORE.exists(), reason="no sources of the core (csrc/) here")

Keys = tuple[bytes, bytes]  # public, secret


@pytest.fixture(scope="module")
def program(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that every scene begins with."""
    if not zmq.has("curve"):
        pytest.skip("this libzmq has no CURVE")
    library = libsodium()
    if library is None:
        pytest.skip("pyzmq's libsodium is no file of its own")
    folder = shared_folder / "objects"
    folder.mkdir(exist_ok=True)
    made = tmp_path_factory.mktemp("curve_peer") / "curve_peer"
    Builder(folder).build(made, SOURCES, *WARNINGS)
    return [str(made), str(library)]


@pytest.fixture(scope="module")
def server_keys() -> Keys:
    return zmq.curve_keypair()


@pytest.fixture(scope="module")
def client_keys() -> Keys:
    return zmq.curve_keypair()


def hex_of(key: bytes) -> str:
    return decode(key).hex()


def as_client(own: Keys, server: bytes) -> dict[str, bytes]:
    """The options of a socket."""
    public, secret = own
    return {
        "curve_publickey": public,
        "curve_secretkey": secret,
        "curve_serverkey": server,
    }


@contextmanager
def socket_of(kind: int, **options: Any) -> Iterator[Any]:
    with zmq.Context() as context, context.socket(kind) as its:
        its.linger = 0
        its.rcvtimeo = its.sndtimeo = TIMEOUT_MS
        for name, value in options.items():
            setattr(its, name, value)
        yield its


class Serving:
    """Our end as the server, which takes connections one by one."""

    def __init__(self, program: list[str], secret: bytes, allowed: bytes | None) -> None:
        command = [*program, "serve", hex_of(secret), hex_of(allowed) if allowed else "any"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.address = self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def take_one(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def events(self) -> list[str]:
        """What happened on the connection, which is over."""
        return list(iter(self._line, "end"))

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with self._process:
            pass


def asking(program: list[str], port: int, secret: bytes, server: bytes, kind: str) -> list[str]:
    """The command of our end as the client of a server at that port."""
    return [*program, "ask", str(port), hex_of(secret), hex_of(server), kind, *map(str, SIZES)]


def told(command: list[str]) -> list[str]:
    """What a client prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


# ---- pyzmq is the client


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.DEALER], ids=["REQ", "DEALER"])
def test_clients_of_libzmq(
    program: list[str], server_keys: Keys, client_keys: Keys, kind: int
) -> None:
    with Serving(program, server_keys[1], client_keys[0]) as server:
        server.take_one()
        with socket_of(
            kind,
            **as_client(client_keys, server_keys[0]),
        ) as its:
            its.connect(server.address)
            delimiter = [b""] if kind == zmq.DEALER else []
            for size in SIZES:
                frames = [*delimiter, bytes(i * 3 % 256 for i in range(size)), b"", b"end"]
                its.send_multipart(frames)
                assert its.recv_multipart() == frames
        events = server.events()
    assert events[0] == ("ready REQ" if kind == zmq.REQ else "ready DEALER")
    assert events[1:-1] == [f"message 0 {size} 0 3" for size in SIZES]
    assert events[-1] == "closed"


def test_heartbeats_are_answered(program: list[str], server_keys: Keys, client_keys: Keys) -> None:
    """libzmq closes a connection over which no PONG comes in time."""
    with Serving(program, server_keys[1], None) as server:
        server.take_one()
        with socket_of(
            zmq.DEALER,
            **as_client(client_keys, server_keys[0]),
            heartbeat_ivl=20,
            heartbeat_timeout=5000,
        ) as its:
            its.connect(server.address)
            for _ in range(10):
                its.send(b"x")
                assert its.recv() == b"x"
                its.poll(30)  # nothing comes
        events = server.events()
    assert events.count("message 1") == 10
    assert events.count("command PING") >= 2


def test_a_client_of_another_server(
    program: list[str], server_keys: Keys, client_keys: Keys
) -> None:
    with Serving(program, server_keys[1], None) as server:
        server.take_one()
        with socket_of(
            zmq.DEALER,
            **as_client(client_keys, client_keys[0]),
        ) as its:
            its.connect(server.address)
            assert server.events() == ["fault wrong_server_key"]


def test_a_client_that_is_not_allowed(
    program: list[str], server_keys: Keys, client_keys: Keys
) -> None:
    """libzmq understands what it is told."""
    with Serving(program, server_keys[1], server_keys[0]) as server:
        server.take_one()
        with (
            socket_of(
                zmq.DEALER,
                **as_client(client_keys, server_keys[0]),
            ) as its,
            its.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH) as monitor,
        ):
            monitor.rcvtimeo = TIMEOUT_MS
            its.connect(server.address)
            assert server.events() == ["fault not_permitted"]
            event, _ = monitor.recv_multipart()
            assert int.from_bytes(event[:2], "little") == zmq.EVENT_HANDSHAKE_FAILED_AUTH
            assert int.from_bytes(event[2:6], "little") == 400
            its.disable_monitor()


# ---- pyzmq is the server


@pytest.mark.parametrize("kind", ["REQ", "DEALER"])
def test_servers_of_libzmq(
    program: list[str], server_keys: Keys, client_keys: Keys, kind: str
) -> None:
    with socket_of(
        zmq.ROUTER, curve_server=1, curve_publickey=server_keys[0], curve_secretkey=server_keys[1]
    ) as its:
        port = its.bind_to_random_port("tcp://127.0.0.1")
        command = asking(program, port, client_keys[1], server_keys[0], kind)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for _ in [*SIZES, "several frames"]:
                its.send_multipart(its.recv_multipart())
            output, _ = process.communicate(timeout=60)
    messages = [f"message 0 {size}" for size in SIZES]
    assert output.splitlines() == [
        "ready ROUTER",
        *messages,
        "message 0 7 0 6",
        "pong context",
        "command PONG",
        "end",
        f"echoed {len(SIZES) + 1} ",
    ]


def test_another_server_of_libzmq(program: list[str], server_keys: Keys, client_keys: Keys) -> None:
    with socket_of(
        zmq.ROUTER, curve_server=1, curve_publickey=server_keys[0], curve_secretkey=server_keys[1]
    ) as its:
        port = its.bind_to_random_port("tcp://127.0.0.1")
        said = told(asking(program, port, client_keys[1], client_keys[0], "DEALER"))
    assert said == ["closed", "end", "echoed 0 "]


def test_a_server_of_libzmq_that_refuses(
    program: list[str], server_keys: Keys, client_keys: Keys
) -> None:
    from zmq.auth.thread import ThreadAuthenticator

    with zmq.Context() as context:
        guard = ThreadAuthenticator(context)
        guard.start()
        try:
            guard.configure_curve_callback("*", _Nobody())
            with context.socket(zmq.ROUTER) as its:
                its.linger = 0
                its.curve_server = 1
                its.curve_publickey, its.curve_secretkey = server_keys
                port = its.bind_to_random_port("tcp://127.0.0.1")
                said = told(asking(program, port, client_keys[1], server_keys[0], "DEALER"))
        finally:
            guard.stop()
    assert said == ["fault refused_by_peer", "end", "echoed 0 400"]


class _Nobody:
    def callback(self, domain: str, key: bytes) -> bool:
        del domain, key
        return False
