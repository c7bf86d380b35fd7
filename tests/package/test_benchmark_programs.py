"""The load generator of the benchmarks and what answers it over plain TCP; nothing is timed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq
from support.machine import within
from support.paths import CHECKOUT

PROGRAMS = CHECKOUT / "benchmarks" / "native"

pytestmark = [
    pytest.mark.any_python,
    pytest.mark.skipif(sys.platform != "linux", reason="the programs are for Linux"),
    pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler"),
    pytest.mark.skipif(not PROGRAMS.exists(), reason="the benchmarks are not beside the tests"),
]


def build(name: str, folder: Path) -> Path:
    """Compile a program with all warnings."""
    program = folder / name
    options = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    source = PROGRAMS / f"{name}.cpp"
    compiler = os.environ.get("CXX", "c++").split()
    command = [*compiler, *options, str(source), "-pthread", "-o", str(program)]
    subprocess.run(command, check=True)
    return program


@pytest.fixture(scope="module")
def load_generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("load", tmp_path_factory.mktemp("load"))


@pytest.fixture(scope="module")
def raw_responder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("raw", tmp_path_factory.mktemp("raw"))


REPLY = b'{"payload": {"data": {"x": %d}}, "error_msg": null}'


@pytest.mark.parametrize("clients", [1, 3])
@pytest.mark.parametrize(
    ("check", "replies", "complaint"),
    [
        ("same", [REPLY % 1], ""),
        ("same", [REPLY % 1, REPLY % 2], "differs from the first"),
        ("like", [REPLY % 1, REPLY % 22], ""),
        ("like", [REPLY % 1, b'{"payload": {}, "error_msg": null}'], "not like the first"),
        ("like", [REPLY % 1, (REPLY % 1).replace(b"null", b'"no"')], "not like the first"),
    ],
)
def test_the_load_generator_checks_replies(
    load_generator: Path, clients: int, check: str, replies: list[bytes], complaint: str
) -> None:
    with zmq.Context() as context:
        server = context.socket(zmq.REP)
        server.linger = 0
        port = server.bind_to_random_port("tcp://127.0.0.1")
        over = threading.Event()
        requests = set()

        def answer() -> None:
            count = 0
            while not over.is_set():
                if server.poll(10):
                    requests.add(server.recv())
                    server.send(replies[count % len(replies)])
                    count += 1

        answering = threading.Thread(target=answer)
        answering.start()
        try:
            command = [str(load_generator), str(port), str(clients), "2", "0.05", "0", check]
            done = subprocess.run(command, input=b"asked", capture_output=True, timeout=60)
        finally:
            over.set()
            answering.join()
            server.close()
    assert requests == {b"asked"}
    if complaint:
        assert done.returncode == 1
        assert complaint in done.stderr.decode()
        return
    assert done.returncode == 0, done.stderr.decode()
    first, figures = done.stdout.splitlines()
    seen = json.loads(figures)
    assert first == replies[0]
    assert 0 < seen["replies"] <= seen["total"]
    assert 0 < seen["p50_us"] <= seen["p99_us"] <= seen["max_us"]


def test_the_open_loop_charges_a_stall_to_what_it_kept_waiting(load_generator: Path) -> None:
    """A server that stalls once makes all requests due meanwhile late, not just one."""
    with zmq.Context() as context:
        server = context.socket(zmq.ROUTER)
        server.linger = 0
        port = server.bind_to_random_port("tcp://127.0.0.1")
        over = threading.Event()

        def answer() -> None:
            count = 0
            while not over.is_set():
                if server.poll(10):
                    count += 1
                    if count == 200:
                        over.wait(0.2)
                    server.send_multipart(server.recv_multipart())

        answering = threading.Thread(target=answer)
        answering.start()
        try:
            command = [str(load_generator), str(port), "2", "1", "1.0", "1000", "same"]
            done = subprocess.run(command, input=b"asked", capture_output=True, timeout=60)
        finally:
            over.set()
            answering.join()
            server.close()
    assert done.returncode == 0, done.stderr.decode()
    seen = json.loads(done.stdout.splitlines()[1])
    assert seen["replies"] in range(999, 1002)
    assert seen["unanswered"] == 0
    assert seen["max_us"] > 190_000
    # About 200 of 1,000 were due in the stall; a tenth of all waited 100 ms or more.
    assert seen["p99_us"] > 150_000


@contextmanager
def raw(program: Path, reply: bytes, folder: Path) -> Iterator[int]:
    """Run what answers over plain TCP; gives its port."""
    file = folder / "reply"
    file.write_bytes(reply)
    running = subprocess.Popen(
        [str(program), str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert running.stdin is not None
    assert running.stdout is not None
    try:
        yield int(running.stdout.readline())
        running.stdin.close()
        assert running.wait(within(20)) == 0
    finally:
        running.kill()
        running.wait()
        running.stdin.close()
        running.stdout.close()


@pytest.mark.parametrize("size", [1, 150, 70_000, 3_000_000])
def test_raw_answers_requests_however_they_come(
    raw_responder: Path, load_generator: Path, tmp_path: Path, size: int
) -> None:
    reply = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with raw(raw_responder, reply, tmp_path) as port, zmq.Context() as context:
        with context.socket(zmq.REQ) as asking, context.socket(zmq.DEALER) as flooding:
            for each in (asking, flooding):
                each.linger = 0
                each.rcvtimeo = round(1000 * within(20))
                each.connect(f"tcp://127.0.0.1:{port}")
            for request in (b"", b"r", b"r" * 255, b"r" * 256, b"r" * 1_000_000):
                asking.send(request)
                assert asking.recv() == reply
            asking.send_multipart([b"one", b"", b"more"])
            assert asking.recv() == reply
            # Replies of more bytes than a socket takes, which nobody reads meanwhile.
            for _ in range(200 if size < 1_000_000 else 10):
                flooding.send_multipart([b"", b"r"])
            asking.send(b"r")
            assert asking.recv() == reply
            for _ in range(200 if size < 1_000_000 else 10):
                assert flooding.recv_multipart() == [b"", reply]
        # A request byte by byte: the handshake, too.
        with socket.create_connection(("127.0.0.1", port), timeout=within(20)) as slow:
            slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            greeting = b"\xff" + bytes(8) + b"\x7f\x03\0NULL" + bytes(48)
            ready = b"\4\x19\5READY\x0bSocket-Type\0\0\0\3REQ"
            request = b"\1\0" + b"\2" + (300).to_bytes(8, "big") + b"r" * 300
            for byte in greeting + ready + request:
                slow.sendall(bytes([byte]))
            with slow.makefile("rb") as answers:
                assert answers.read(64)[:12] == b"\xff" + bytes(8) + b"\x7f\3\0"
                assert answers.read(2) == b"\4\x1c"
                assert answers.read(28) == b"\5READY\x0bSocket-Type\0\0\0\6ROUTER"
                assert answers.read(2) == b"\1\0"
                header = answers.read(2 if size < 256 else 9)
                assert int.from_bytes(header[1:], "big") == size
                assert answers.read(size) == reply
        command = [str(load_generator), str(port), "4", "8", "0.05", "0", "same"]
        done = subprocess.run(command, input=b"r", capture_output=True, timeout=within(60))
        assert done.returncode == 0, done.stderr.decode()
