"""Handshakes that stop, crawl, never come or end in a reset, and what speaks no ZMTP at all."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from support.machine import LINUX, WINDOWS, memory, within
from support.peers import PATIENCE_S, Peer, ask, request
from support.raw_peers import RawPeer, connect_tcp
from support.served_apart import ServedApart, answers_at_once
from support.serving import serving
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.stats import Refusal

pytestmark = [pytest.mark.transports("tcp")]

HANDSHAKE = RawPeer.GREETING + RawPeer.ready(b"some name")
REQUEST = RawPeer.frame(b"", more=True) + RawPeer.frame(request("PING"))
LONG = RawPeer.frame(b"", more=True) + RawPeer.frame(request("PING") + b" " * 300)
KINDS = {
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", Refusal.NOT_ZMTP),
    "TLS": (b"\x16\x03\x01\x00\xf5\x01\x00\x00\xf1\x03\x03" + os.urandom(200), Refusal.NOT_ZMTP),
    "ZMTP 1": (b"\x01\x00\x04\x00abc", Refusal.NOT_ZMTP),
    "ZMTP 2": (RawPeer.GREETING[:10] + b"\x01\x05\x00\x00", Refusal.ZMTP_VERSION),
    "CURVE": (RawPeer.GREETING[:12] + b"CURVE".ljust(20, b"\0") + bytes(32), Refusal.MECHANISM),
    "SUB": (
        RawPeer.GREETING
        + RawPeer.ready()
        .replace(b"\x06DEALER", b"\x03SUB")
        .replace(b"\x1c\x05READY", b"\x19\x05READY"),
        Refusal.SOCKET_TYPE,
    ),
    "message first": (RawPeer.GREETING + REQUEST, Refusal.MALFORMED),
}


@contextlib.contextmanager
def all_connected(server: ServerLHC | ServedApart, number: int) -> Iterator[list[socket.socket]]:
    connections: list[socket.socket] = []
    try:
        for _ in range(number):
            connections.append(connect_tcp(server))
        yield connections
    finally:
        for each in connections:
            each.close()


def reset(connection: socket.socket) -> None:
    """End it so that its peer reads no end, but an error."""
    connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if WINDOWS else "ii", 1, 0)
    )
    connection.close()


def read_to_the_end(connection: socket.socket) -> bytes:
    connection.settimeout(PATIENCE_S)
    got = b""
    with contextlib.suppress(ConnectionError):
        while more := connection.recv(4096):
            got += more
    return got


def test_handshakes_that_stop_at_every_byte() -> None:
    """None is waited for longer than the others, and nobody else waits."""
    number = len(HANDSHAKE)
    limit = {"handshake_timeout_ms": round(within(0.3) * 1000)}
    with serving(**limit) as server, all_connected(server, number) as connections:
        for size, connection in enumerate(connections):
            connection.sendall(HANDSHAKE[:size])
        answers_at_once(server)
        for connection in connections:
            assert read_to_the_end(connection)[:1] == b"\xff"
        assert server.stats().refused[Refusal.HANDSHAKE_TIMEOUT] == number
        wait_until(lambda: server.stats().connections == 0, "all are gone")
        answers_at_once(server)


def test_a_handshake_byte_by_byte_has_no_more_time() -> None:
    """Each byte comes long before the time is over; all of them do not."""
    with serving(handshake_timeout_ms=500) as server, connect_tcp(server) as connection:
        ended = threading.Event()

        def send() -> None:
            with contextlib.suppress(OSError):
                for byte in HANDSHAKE[:-1]:
                    connection.sendall(bytes([byte]))
                    if ended.wait(0.02):
                        return

        thread = threading.Thread(target=send)
        thread.start()
        read_to_the_end(connection)
        ended.set()
        thread.join()
        assert server.stats().refused[Refusal.HANDSHAKE_TIMEOUT] == 1


def test_bytes_one_by_one_are_as_good_as_at_once() -> None:
    with serving() as server, connect_tcp(server) as connection:
        for byte in HANDSHAKE + REQUEST + LONG:
            connection.sendall(bytes([byte]))
        connection.shutdown(socket.SHUT_WR)
        assert read_to_the_end(connection).count(b"PONG") == 2


@pytest.mark.parametrize("sent", [REQUEST, LONG], ids=["short", "long"])
@pytest.mark.parametrize("late", [False, True], ids=["at once", "when it was read"])
def test_resets_at_every_byte(sent: bytes, late: bool) -> None:
    conversation = HANDSHAKE + sent
    with serving() as server, Peer(server) as other:
        for size in range(len(conversation) + 1):
            connection = connect_tcp(server)
            connection.sendall(conversation[:size])
            if late:
                connection.recv(1)
            reset(connection)
        assert other.ask("PING")["error_msg"] is None
        wait_until(lambda: server.stats().connections == 1, "all others are gone")
        answers_at_once(server)
        assert server.stats().connections_total <= len(conversation) + 5


@pytest.mark.parametrize("name", KINDS)
def test_what_cannot_be_served_is_closed_and_counted(name: str) -> None:
    sent, reason = KINDS[name]
    with serving() as server:
        with connect_tcp(server) as connection:
            connection.sendall(sent)
            read_to_the_end(connection)
        refused = server.stats().refused
        assert {each: count for each, count in refused.items() if count} == {reason: 1}
        answers_at_once(server)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(not LINUX, reason="needs as many descriptors, and measures as Linux counts")
def test_five_thousand_connections_that_say_nothing() -> None:
    """They cost little, hold up nobody and go when their time is over."""
    import resource

    number = 5000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number + 500:
        pytest.skip(f"only {hard} descriptors")
    more = f"resource.setrlimit(resource.RLIMIT_NOFILE, ({number + 500}, {hard}))"
    resource.setrlimit(resource.RLIMIT_NOFILE, (number + 500, hard))
    try:
        # Less than the 30 s after which the system probes them, so many at once that it loses some.
        handshake_s = min(within(15), 28)
        with ServedApart(more, handshake_timeout_ms=int(handshake_s * 1000)) as server:
            answers_at_once(server)
            before, cpu = server.resident(), server.cpu_s()
            with all_connected(server, number):
                wait_until(lambda: server.count("connections") == number, "all are accepted")
                answers_at_once(server)
                assert server.resident() - before < memory(number / 1024 * 8)
                used = server.cpu_s()
                begun = time.monotonic()
                wait_until(lambda: server.count("connections") == 0, "all went", within(40))
                refused = server.run("{k.name: n for k, n in server.stats().refused.items() if n}")
                assert refused == {"HANDSHAKE_TIMEOUT": number}
                assert server.cpu_s() - used < 0.5 * (time.monotonic() - begun)
            answers_at_once(server)
            assert server.cpu_s() - cpu < within(10)
            wait_until(lambda: server.resident() - before < memory(8), "memory is back", within(5))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_silent_connections_do_not_hold_up_the_end() -> None:
    with serving() as server, all_connected(server, 50) as connections:
        with RawPeer(server):
            begun = time.monotonic()
            server.stop()
            assert time.monotonic() - begun < within(1)
        for connection in connections:
            read_to_the_end(connection)


def test_a_connection_that_says_nothing_may_still_begin() -> None:
    with serving() as server, connect_tcp(server) as connection:
        assert ask(server, "PING")["error_msg"] is None
        connection.sendall(HANDSHAKE + REQUEST)
        connection.shutdown(socket.SHUT_WR)
        assert b"PONG" in read_to_the_end(connection)
