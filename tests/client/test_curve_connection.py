"""A client's own connection with keys: what waits for the handshake, what it costs, how it ends."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.curve import Curve
from support.forked import Forked
from support.keys import new_pair
from support.peers import PATIENCE_S
from support.raw_listeners import GREETING, RawListener, command, message
from support.scripted_server import ScriptedServer

from laplace_server.client._frames import (
    CLOSED_AT_HELLO,
    CLOSED_EARLY,
    CLOSED_UNGREETED,
    DEALER,
    REQ,
    ClientKeys,
    Connection,
)

pytestmark = pytest.mark.transports()  # no server

CURVE_GREETING = GREETING[:12] + b"CURVE".ljust(20, b"\0") + bytes(32)


def echo(body: bytes) -> list[list[bytes]]:
    return [[b"", body, b""]]


@pytest.fixture
def curve() -> Curve:
    return Curve()


@pytest.fixture
def server(curve: Curve) -> Iterator[ScriptedServer]:
    with ScriptedServer(echo, curve=curve) as server:
        yield server


def connected(server: ScriptedServer, keys: ClientKeys | None, kind: int = DEALER) -> Connection:
    return Connection(kind, "127.0.0.1", int(server.address.rpartition(":")[2]), keys)


def ready(server: ScriptedServer, keys: ClientKeys | None, kind: int = DEALER) -> Connection:
    connection = connected(server, keys, kind)
    while not connection.ready:
        assert not connection.broken, connection.trouble
        connection.wait(PATIENCE_S)
    return connection


def trouble_of(connection: Connection) -> str:
    assert connection.receive(PATIENCE_S) is None
    assert connection.broken
    connection.close()
    return connection.trouble


def test_what_is_said_early_waits_for_the_handshake(server: ScriptedServer, curve: Curve) -> None:
    connection = connected(server, curve.keys(), REQ)
    large = bytes(300_000)
    assert connection.send([b"", b"first"])
    assert connection.send((b"", large))
    assert connection.unsent == (2 + 2 + 5) + (2 + 9 + len(large))
    assert connection.receive(PATIENCE_S) == [b"", b"first", b""]
    assert connection.receive(PATIENCE_S) == [b"", large, b""]
    assert connection.unsent == 0
    assert connection.send([b"", b"last"])
    assert connection.receive(PATIENCE_S) == [b"", b"last", b""]
    connection.close()
    assert connection.trouble == "it was closed"


@pytest.mark.parametrize("kind", [REQ, DEALER])
def test_messages_of_all_sizes(server: ScriptedServer, curve: Curve, kind: int) -> None:
    generator = random.Random(15)
    connection = ready(server, curve.keys(), kind)
    sizes = [0, 1, 222, 223, 1900, 1967, 1968, 2048, 8192, 65536, 65537, 1 << 20, 5 << 20]
    for size in sizes + sizes[::-1]:
        body = generator.randbytes(size)
        assert connection.send([b"", body])
        assert connection.receive(PATIENCE_S) == [b"", body, b""]
    connection.close()


def test_many_at_once_keep_their_order() -> None:
    """While the peer takes nothing, they wait; PINGs are answered in between."""
    go_on = threading.Event()

    def slowly(body: bytes) -> list[list[bytes]]:
        go_on.wait(PATIENCE_S)
        return echo(body[:10])

    curve = Curve(heartbeat_ms=5, most_waiting=5)
    with ScriptedServer(slowly, curve=curve) as server:
        connection = ready(server, curve.keys())
        for number in range(300):
            body = b"%d " % number + bytes((number % 7) * 60_000)
            assert connection.send([b"", body])
        assert connection.unsent > 0
        go_on.set()
        for number in range(300):
            reply = connection.receive(PATIENCE_S)
            assert reply is not None
            assert reply[1].split(b" ")[0] == b"%d" % number
        assert connection.unsent == 0
        connection.close()


def test_the_last_word_leaves_before_the_end(server: ScriptedServer, curve: Curve) -> None:
    for keys in (curve.keys(), curve.keys()):
        early = connected(server, keys)
        assert early.send([b"", b"early"])
        early.close(PATIENCE_S)
        assert server.hear() == b"early"
        late = ready(server, keys)
        assert late.send([b"", b"late" * 50_000])
        late.close(PATIENCE_S)
        assert server.hear() == b"late" * 50_000


# ---- what goes wrong


def test_a_key_that_is_not_allowed(server: ScriptedServer, curve: Curve) -> None:
    stranger = new_pair()
    connection = connected(server, curve.keys(client=stranger))
    assert connection.send([b"", b"x"])
    assert trouble_of(connection) == "it does not allow this client's key"
    assert connection.unsent == 0
    assert not connection.refused
    assert curve.asked == [stranger.public]
    curve.status = b"500"
    assert trouble_of(connected(server, curve.keys(client=stranger))) == "it refused: 500"
    curve.allowed.add(stranger.public)
    ready(server, curve.keys(client=stranger)).close()
    assert server.bodies.empty()


def test_a_server_with_another_key(server: ScriptedServer, curve: Curve) -> None:
    other = curve.keys(server=new_pair())
    for _ in range(3):
        # Which of the two depends on how far libzmq has come.
        assert trouble_of(connected(server, other)) in (CLOSED_UNGREETED, CLOSED_AT_HELLO)
    assert curve.asked == []


def test_a_server_without_security(curve: Curve) -> None:
    with ScriptedServer(echo) as server:
        connection = connected(server, curve.keys())
        assert connection.send([b"", b"a secret"])
        assert trouble_of(connection) in (
            CLOSED_UNGREETED,
            "it has no security: it talks in the clear, which a client with a key does not",
        )
        assert server.bodies.empty()


def test_a_client_without_keys(server: ScriptedServer, curve: Curve) -> None:
    assert trouble_of(connected(server, None)) in (
        CLOSED_EARLY,
        "it wants another security mechanism than NULL; it may serve only clients with a key",
    )


def test_silence_and_ends_in_the_handshake(curve: Curve) -> None:
    with RawListener() as listener:
        for said, trouble in (
            (b"", CLOSED_UNGREETED),
            (CURVE_GREETING, CLOSED_AT_HELLO),
            (CURVE_GREETING + command(b"\x05ERROR\x03400"), "it does not allow this client's key"),
        ):
            connection = Connection(DEALER, listener.host, listener.port, curve.keys())
            end = listener.accept()
            assert connection.send([b"", b"not said"])
            connection.wait(PATIENCE_S)
            sent = end.read(64 + 2 + 200)
            assert sent[12:17] == b"CURVE"
            assert connection.receive(0.01) is None
            assert connection.connected
            assert not connection.ready
            end.send(said)
            end.socket.close()
            assert trouble_of(connection) == trouble


def test_what_is_not_sealed_ends_the_connection(curve: Curve) -> None:
    """A server that talks in the clear behind its greeting is not believed."""
    with RawListener() as listener:
        connection = Connection(DEALER, listener.host, listener.port, curve.keys())
        end = listener.accept()
        end.send(CURVE_GREETING + message(b"", b"reply"))
        assert connection.receive(PATIENCE_S) is None
        assert connection.trouble == "what it sends breaks the rules of ZMTP"
        assert not connection.send([b"", b"x"])
        connection.close()


# ---- threads


def test_a_thread_that_waits_is_interrupted(server: ScriptedServer, curve: Curve) -> None:
    connection = ready(server, curve.keys())
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(connection.receive, PATIENCE_S)
        connection.interrupt()
        assert waiting.result(PATIENCE_S) is None
    connection.close()


def test_many_threads_with_connections_of_one_key(server: ScriptedServer, curve: Curve) -> None:
    keys = curve.keys()

    def talk(number: int) -> bool:
        connection = ready(server, keys)
        body = b"%d" % number * 100_000
        good = all(
            connection.send([b"", body]) and connection.receive(PATIENCE_S) == [b"", body, b""]
            for _ in range(5)
        )
        connection.close()
        return good

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(talk, range(10)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_forked_child_it_is_broken(server: ScriptedServer, curve: Curve) -> None:
    connection = ready(server, curve.keys())

    def look() -> None:
        assert connection.broken
        assert not connection.send([b"", b"x"])
        connection.close()

    with Forked(look):
        assert connection.send([b"", b"the parent's"])
        assert connection.receive(PATIENCE_S) == [b"", b"the parent's", b""]
    connection.close()


def test_libzmq_wants_to_hear_nothing_twice(server: ScriptedServer, curve: Curve) -> None:
    """Whatever is lost in between, the numbers of what is sealed grow: else it would be closed."""
    connection = ready(server, curve.keys())
    for wrong in ([], ["text"], [b"", None]):
        with pytest.raises((TypeError, ValueError)):
            connection.send(wrong)  # type: ignore[arg-type]
    for number in range(50):
        assert connection.send([b"", b"%d" % number])
    for number in range(50):
        assert connection.receive(PATIENCE_S) == [b"", b"%d" % number, b""]
    connection.close()
