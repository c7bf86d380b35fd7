"""Each reason to refuse or close a connection: it is counted, logged, and harms nobody else."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import zmq
from support.isolated import run_script
from support.machine import LINUX
from support.peers import PATIENCE_S, Peer, ask, request
from support.raw_peers import RawPeer, connect_tcp
from support.serving import limited, serving
from support.waiting import wait_until
from zmq.utils.monitor import recv_monitor_message

from laplace_server import ServerLHC
from laplace_server.protocol import LOGGER_NAME
from laplace_server.stats import Refusal

pytestmark = pytest.mark.transports("tcp")

Open = contextlib.AbstractContextManager[Any]


@contextlib.contextmanager
def sent(server: ServerLHC, data: bytes) -> Iterator[str]:
    """A bare connection over which that was sent; its address."""
    with connect_tcp(server) as connection:
        connection.sendall(data)
        yield own_address(connection)


@contextlib.contextmanager
def sent_by_peer(server: ServerLHC, data: bytes) -> Iterator[str]:
    """The same, behind a handshake."""
    with RawPeer(server) as peer:
        peer.socket.sendall(data)
        yield own_address(peer.socket)


def own_address(connection: socket.socket) -> str:
    host, port = connection.getsockname()[:2]
    return f"{host}:{port}"


@contextlib.contextmanager
def refused_beside_another(server: ServerLHC) -> Iterator[str]:
    with asking(server), connect_tcp(server) as connection:
        yield own_address(connection)


@contextlib.contextmanager
def displaced(server: ServerLHC) -> Iterator[str]:
    with RawPeer(server) as silent, asking(server):
        yield own_address(silent.socket)


@contextlib.contextmanager
def asking(server: ServerLHC) -> Iterator[Peer]:
    with Peer(server) as peer:
        peer.ask("PING")
        yield peer


PING_TTL_100_MS = b"\x04\x07\x04PING\x00\x01"


@dataclass
class Case:
    provoke: Callable[[ServerLHC], Open]
    """Breaks a limit; gives the address that the log names."""
    why: str
    arguments: dict[str, int] = field(default_factory=dict)
    what: str = "Closed the connection of"


CASES = {
    Refusal.NOT_ZMTP: Case(
        lambda server: sent(server, b"GET / HTTP/1.1\r\n\r\n"), "does not speak ZeroMQ"
    ),
    Refusal.ZMTP_VERSION: Case(
        lambda server: sent(server, RawPeer.GREETING[:10] + b"\x01\x05\x00\x00"), "libzmq 4.0"
    ),
    Refusal.MECHANISM: Case(
        lambda server: sent(server, RawPeer.GREETING.replace(b"NULL", b"NOPE")), "mechanism"
    ),
    Refusal.SOCKET_TYPE: Case(
        lambda server: sent(
            server, RawPeer.GREETING + RawPeer.ready().replace(b"DEALER", b"SUBSCR")
        ),
        "neither REQ nor DEALER nor ROUTER",
    ),
    Refusal.MALFORMED: Case(lambda server: sent_by_peer(server, b"\xf8\x01x"), "rules of ZMTP"),
    Refusal.HANDSHAKE_TIMEOUT: Case(
        lambda server: sent(server, RawPeer.GREETING),
        r"handshake_timeout_ms \(50\)",
        {"handshake_timeout_ms": 50},
    ),
    Refusal.MESSAGE_SIZE: Case(
        lambda server: sent_by_peer(server, b"\x01\x00\x02" + bytes(6) + b"\xff\xff"),
        r"max_message_bytes \(65534\)",
        {"max_message_bytes": 65534},
    ),
    Refusal.MESSAGE_FRAMES: Case(
        lambda server: sent_by_peer(server, b"\x01\x00" * 4),
        r"frames \(3\)",
        {"max_message_frames": 3},
    ),
    # Though a message may have more, in all.
    Refusal.ROUTE_SIZE: Case(
        lambda server: sent_by_peer(server, b"\x03" + (66_000).to_bytes(8, "big")),
        r"half of max_waiting_bytes \(100000, and 65536 at least\)",
        {"max_waiting_bytes": 100_000},
    ),
    Refusal.CONNECTIONS: Case(
        refused_beside_another,
        r"there are max_connections \(1\)",
        {"max_connections": 1},
        "Refused a connection of",
    ),
    Refusal.ADDRESS: Case(
        refused_beside_another,
        r"max_connections_per_address \(1\)",
        {"max_connections_per_address": 1},
        "Refused a connection of",
    ),
    Refusal.DISPLACED: Case(displaced, r"max_connections \(1\)", {"max_connections": 1}),
    Refusal.HEARTBEAT: Case(lambda server: sent_by_peer(server, PING_TTL_100_MS), "time to live"),
}


def refused(server: ServerLHC) -> dict[Refusal, int]:
    """Those that there were."""
    return {reason: count for reason, count in server.stats().refused.items() if count}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if (record.name, record.levelno) == (LOGGER_NAME, logging.WARNING)
    ]


@pytest.mark.parametrize("reason", CASES, ids=lambda reason: reason.name)
def test_a_connection_is_refused(caplog: pytest.LogCaptureFixture, reason: Refusal) -> None:
    case = CASES[reason]
    with caplog.at_level(logging.WARNING, LOGGER_NAME), serving(**case.arguments) as server:
        addresses = []
        for count in (1, 2, 3):
            with case.provoke(server) as address:
                wait_until(lambda n=count: refused(server) == {reason: n}, "it is counted")
                addresses.append(address)
            wait_until(lambda: server.stats().connections == 0, "all have gone")
            assert ask(server, "SET", {"positions": count})["error_msg"] is None
            wait_until(lambda: server.stats().connections == 0, "this one too")
    (line,) = warnings(caplog)  # one of each reason a minute
    pattern = rf"\[Server device\] {case.what} {re.escape(addresses[0])}: .*{case.why}.*\."
    assert re.fullmatch(pattern, line)


def test_every_reason_is_provoked() -> None:
    of_rights = {Refusal.ANONYMOUS, Refusal.WITHDRAWN}  # test_roles_change.py
    # test_curve_refusals.py
    of_keys = {Refusal.UNKNOWN_KEY, Refusal.WRONG_SERVER_KEY, Refusal.NOT_AUTHENTIC}
    assert {*CASES, *of_rights, *of_keys, Refusal.NO_MEMORY} == set(Refusal)


@pytest.mark.skipif(not LINUX, reason="elsewhere the memory of a process is not limited so")
def test_there_is_no_memory_for_what_a_peer_sends() -> None:
    printed = run_script("""
        import logging, resource, sys
        from support.peers import ask
        from support.raw_peers import RawPeer
        from support.serving import all_begun, serving
        from support.waiting import wait_until
        from laplace_server.stats import Refusal

        logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
        with serving(max_message_bytes=-1, data={"x": 1}) as server:
            all_begun(server)
            with RawPeer(server) as peer:
                used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
                peer.socket.sendall(b"\\1\\0\\2" + (1 << 40).to_bytes(8, "big"))
                block = bytes(1 << 20)
                resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
                try:
                    while True:
                        peer.socket.sendall(block)
                except ConnectionError:
                    pass
            wait_until(lambda: server.stats().refused[Refusal.NO_MEMORY] == 1, "it is counted")
            assert ask(server, "GET")["payload"] == {"data": {"x": 1}}
            assert ask(server, "SET", {"positions": 1})["error_msg"] is None
    """)
    assert re.findall("WARNING .*: there is no memory for what it sends", printed)


OLD_AND_OTHER = {
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Refusal.NOT_ZMTP),
    "TLS": (bytes.fromhex("16030100f5010000f10303"), Refusal.NOT_ZMTP),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", Refusal.NOT_ZMTP),
    "ZMTP 1": (b"\x01\x00", Refusal.NOT_ZMTP),  # of libzmq 2: a frame, its identity
    "ZMTP 1, named": (b"\xff" + bytes(7) + b"\x05\x00name", Refusal.NOT_ZMTP),
    "ZMTP 2": (b"\xff" + bytes(8) + b"\x7f\x01\x05\x00\x00", Refusal.ZMTP_VERSION),  # of libzmq 3
}


@pytest.mark.parametrize("name", OLD_AND_OTHER)
def test_what_a_greeting_is_taken_for(name: str) -> None:
    greeting, reason = OLD_AND_OTHER[name]
    with serving() as server, sent(server, greeting):
        wait_until(lambda: refused(server) == {reason: 1}, "it is refused")
        wait_until(lambda: server.stats().connections == 0, "it is closed")


# ---- sockets of libzmq

NOT_FOR_A_SERVER = {"PUB": zmq.PUB, "SUB": zmq.SUB, "PUSH": zmq.PUSH, "PULL": zmq.PULL}
NOT_FOR_A_SERVER |= {"PAIR": zmq.PAIR, "REP": zmq.REP, "XPUB": zmq.XPUB, "XSUB": zmq.XSUB}


@pytest.mark.parametrize("kind", NOT_FOR_A_SERVER)
def test_sockets_that_ask_nothing(
    context: zmq.Context[Any], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """They are told by ZMTP's ERROR, and do not connect again."""
    with caplog.at_level(logging.WARNING, LOGGER_NAME), serving() as server:
        with context.socket(NOT_FOR_A_SERVER[kind]) as client:
            client.connect(server.address)
            wait_until(lambda: refused(server) == {Refusal.SOCKET_TYPE: 1}, "it is refused")
            wait_until(lambda: server.stats().connections == 0, "it is gone")
            assert ask(server, "SET", {"positions": 1})["error_msg"] is None
    assert len(warnings(caplog)) == 1


def curve(client: zmq.Socket[bytes]) -> None:
    if not zmq.has("curve"):
        pytest.skip("this libzmq has no CURVE")
    client.curve_serverkey, _ = zmq.curve_keypair()
    client.curve_publickey, client.curve_secretkey = zmq.curve_keypair()


def plain(client: zmq.Socket[bytes]) -> None:
    client.plain_username, client.plain_password = b"me", b"secret"


@pytest.mark.parametrize("prepare", [curve, plain], ids=["CURVE", "PLAIN"])
def test_clients_that_want_security(
    context: zmq.Context[Any], prepare: Callable[[zmq.Socket[bytes]], None]
) -> None:
    """libzmq sees by the server's greeting that they do not agree, and leaves for good."""
    with serving() as server, context.socket(zmq.DEALER) as client:
        prepare(client)
        with client.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL) as monitor:
            client.connect(server.address)
            monitor.rcvtimeo = int(PATIENCE_S * 1000)
            told = recv_monitor_message(monitor)["value"]
            assert told == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
            client.disable_monitor()
        wait_until(lambda: server.stats().connections == 0, "it is gone")
        assert ask(server, "SET", {"positions": 1})["error_msg"] is None


@pytest.mark.parametrize("reconnects", [True, False], ids=["reconnecting", "new clients"])
def test_refusals_by_the_thousand(caplog: pytest.LogCaptureFixture, reconnects: bool) -> None:
    """Clients that come again at once neither fill the log nor keep others waiting."""
    count = 1000
    arguments = {"max_connections": 1} if reconnects else {}
    with caplog.at_level(logging.WARNING, LOGGER_NAME), serving(**arguments) as server:
        with Peer(server) as peer:
            peer.ask("PING")
            if reconnects:
                options = {zmq.RECONNECT_IVL: 1}
                with Peer(server, zmq.DEALER, options=options) as other:
                    other.send("PING")
                    wait_until(
                        lambda: server.stats().refused[Refusal.CONNECTIONS] >= count, "it comes"
                    )
            else:
                for _ in range(count):
                    with sent(server, b"GET / HTTP/1.1\r\n\r\n"):
                        pass
                wait_until(lambda: refused(server) == {Refusal.NOT_ZMTP: count}, "all came")
            assert peer.ask("SET", {"positions": 1})["error_msg"] is None
    assert len(warnings(caplog)) == 1


def test_the_log_says_how_many_there_were(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING, LOGGER_NAME),
        serving(kind=limited(refusal_log_ms=50)) as server,
    ):

        def told() -> list[int]:
            numbers = [re.search(r"; (\d+) more such", line) for line in warnings(caplog)]
            return [0 if each is None else int(each[1]) for each in numbers]

        def come_and_see() -> bool:
            for _ in range(20):
                with sent(server, b"GET / HTTP/1.1\r\n\r\n"):
                    pass
            return any(told())

        wait_until(come_and_see, "a line counts others")
        numbers = told()
        assert numbers[0] == 0
        assert len(numbers) + sum(numbers) <= refused(server)[Refusal.NOT_ZMTP]


def test_a_browser_and_others_beside_clients_at_work() -> None:
    """What is refused takes nothing from those who wait for an answer."""
    with serving() as server, Peer(server, zmq.DEALER) as peer:
        for number in range(1, 101):
            peer.send(request("PING" if number % 2 else "SET", {"positions": number}, number))
            with connect_tcp(server) as stranger:
                stranger.settimeout(PATIENCE_S)
                stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
        replies = [peer.receive() for _ in range(100)]
        assert [reply["to"] for reply in replies] == list(range(1, 101))
        wait_until(lambda: refused(server) == {Refusal.NOT_ZMTP: 100}, "each is counted")
