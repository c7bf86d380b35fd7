"""Endpoints as libzmq binds to them, and as we do: the same errno, or the same address."""

from __future__ import annotations

import errno
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import zmq
from support.machine import LINUX, have_ipv6
from support.native_build import CORE, NATIVE, WARNINGS, Builder

from laplace_server.validations import validate_address, validate_port

SOURCES = [NATIVE / "bind_probe.cpp", *sorted((CORE / "tcp").glob("*.cpp"))]

pytestmark = [
    pytest.mark.skipif(
        not (CORE / "tcp").exists(),
        reason="the sources of the core (csrc/) are not beside the tests",
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

Outcome = tuple[int, str]

# "{port}" is one that is free, "{taken}" one that is not, "{nic}" an interface with IPv4.
PORTS = [
    "*",
    "0",
    "{port}",
    "",
    "00",
    " ",
    "x",
    "{port}x",
    "x{port}",
    "-0",
    "65536",
    "131072",
    "**",
]
HOSTS = [
    "*",
    "0.0.0.0",
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f.1",
    "localhost",
    "LOCALHOST",
    "{nic}",
    "[*]",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[127.0.0.1]",
    "[localhost]",
    "[{nic}]",
    "127.0.0.1%{nic}",
    "127.0.0.1%1",
    "[::1%{nic}]",
    "[::1%1]",
    # None of these can be bound to.
    "",
    " ",
    "[]",
    "[",
    "]",
    "[[::1]]",
    "[::1",
    "::1]",
    "::1",
    "fe80::1",
    "256.0.0.1",
    "127.0.0.1.",
    " 127.0.0.1",
    "127.0.0.1 ",
    "203.0.113.1",
    "[2001:db8::1]",
    "[fe80::1%{nic}]",
    "[fe80::1]",
    "224.0.0.1",
    "255.255.255.255",
    "no-such-host.invalid",
    "no_such_interface",
    "user@localhost",
    "localhost/path",
    "127.0.0.1%",
    "127.0.0.1%0",
    "127.0.0.1%no_such",
    "[::1%]",
    "[::1%0]",
    "[::1%no_such]",
    "[*%1]",
    "127.0.0.1:1;127.0.0.1",
    "*:*;127.0.0.1",
    "localhost:1;127.0.0.1",
    "no;127.0.0.1",
    "\t127.0.0.1",
    "127.0.0.1\n",
    "lócalhost",
]
WHOLE = [
    "",
    " ",
    "tcp",
    "tcp:",
    "tcp:/",
    "tcp://",
    "tcp:///",
    "tcp://:",
    "tcp://*",
    "tcp://127.0.0.1",
    "tcp://localhost",
    "tcp://[::1]",
    "tcp://[::]",
    "tcp://[fe80::abcd]",
    "tcp:// *:*",
    " tcp://*:*",
    "tcp ://*:*",
    "tcp://*:* ",
    "tcp:/*:*",
    "tcp:*:*",
    "TCP://*:*",
    "://*:*",
    "//*:*",
    "*:*",
    "127.0.0.1:{port}",
    "http://*:*",
    "ws://",
    "foo://*:*",
    "tcps://*:*",
    "tcp://tcp://127.0.0.1:{port}",
    "tcp://127.0.0.1:{port};",
    "tcp://;127.0.0.1:{port}",
    "tcp://127.0.0.1:{taken}",
    "tcp://*:{taken}",
    "tcp://localhost:{taken}",
    "tcp://[::ffff:127.0.0.1]:{taken}",
    "tcp://[*]:{taken}",
]
TEXTS = [*(f"tcp://{host}:{port}" for host in HOSTS for port in PORTS), *WHOLE]

# What libzmq binds to another port than is written there, and what is no TCP.
LIBZMQ_ONLY = {
    "tcp://127.0.0.1:{port}x": errno.EINVAL,
    "tcp://127.0.0.1: {port}": errno.EINVAL,
    "tcp://127.0.0.1:{port} ": errno.EINVAL,
    "tcp://127.0.0.1:+{port}": errno.EINVAL,
    "tcp://127.0.0.1:-1": errno.EINVAL,
    "tcp://127.0.0.1:99999999999999999999": errno.EINVAL,
    "inproc://here": errno.EPROTONOSUPPORT,
}


@pytest.fixture(scope="module")
def probe(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shared_folder / "objects"
    folder.mkdir(exist_ok=True)
    program = tmp_path_factory.mktemp("probe") / "bind_probe"
    sources = [*SOURCES, CORE / "base" / "interfaces.cpp"]
    Builder(folder).build(program, sources, *WARNINGS)
    return program


@pytest.fixture(scope="module")
def names() -> Iterator[dict[str, str]]:
    """What stands for the words in braces."""
    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        interfaces = psutil.net_if_addrs().items()
        nics = [
            name for name, all_of in interfaces if any(a.family == socket.AF_INET for a in all_of)
        ]
        yield {"port": port, "taken": str(taken.getsockname()[1]), "nic": nics[0]}


def by_libzmq(endpoint: str) -> Outcome:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.setsockopt(zmq.IPV6, int("[" in endpoint))
        try:
            router.bind(endpoint)
        except zmq.ZMQError as problem:
            return problem.errno or 0, ""
        return 0, router.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")


def by_us(probe: Path, endpoints: list[str]) -> list[Outcome]:
    text = "".join(endpoint + "\0" for endpoint in endpoints)
    done = subprocess.run([probe], input=text.encode(), capture_output=True, timeout=100)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(endpoints)
    return [(int(error), bound) for error, _, bound in (line.partition(" ") for line in lines)]


def is_refused(endpoint: str) -> bool:
    """Whether ServerLHC does not even try."""
    try:
        validate_address(endpoint)
        validate_port(endpoint)
    except ValueError:
        return True
    return False


def comparable(endpoint: str, outcome: Outcome) -> Outcome:
    """Without the port, where the system chose it."""
    error, bound = outcome
    chosen = endpoint.rpartition(":")[2] in ("*", "0")
    return error, re.sub(r":[1-9]\d*$", ":chosen", bound) if chosen else bound


@pytest.mark.skipif(not have_ipv6(), reason="this machine has no IPv6")
def test_each_endpoint_as_libzmq(probe: Path, names: dict[str, str]) -> None:
    endpoints = [text.format(**names) for text in TEXTS]
    differences = []
    bound = 0
    for endpoint, ours in zip(endpoints, by_us(probe, endpoints), strict=True):
        theirs = by_libzmq(endpoint)
        if comparable(endpoint, theirs) != comparable(endpoint, ours):
            # More than digits is no port for us, and ServerLHC says so first.
            if ours == (errno.EINVAL, "") and is_refused(endpoint):
                continue
            differences.append((endpoint, theirs, ours))
        bound += ours[0] == 0
    assert differences == []
    assert bound >= 3 * 15


@pytest.mark.parametrize("text", LIBZMQ_ONLY)
def test_what_libzmq_alone_takes(probe: Path, names: dict[str, str], text: str) -> None:
    endpoint = text.format(**names)
    assert by_us(probe, [endpoint]) == [(LIBZMQ_ONLY[text], "")]
    assert by_libzmq(endpoint)[0] in (0, errno.EADDRINUSE)  # its port, 65535, may be somebody's
    assert is_refused(endpoint)


@pytest.mark.skipif(not LINUX, reason="udp, ipc and others depend on how libzmq was built")
def test_other_protocols(probe: Path, tmp_path: Path) -> None:
    """Those of libzmq are none of ours, and never reach us."""
    endpoints = ["udp://127.0.0.1:1", "pgm://127.0.0.1;1", f"ipc://{tmp_path}/s", "ws://*:*"]
    assert by_us(probe, endpoints) == [(errno.EPROTONOSUPPORT, "")] * len(endpoints)
    assert all(is_refused(endpoint) for endpoint in endpoints)
