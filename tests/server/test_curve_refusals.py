"""Who is refused over CURVE: counted, logged, and no harm to anybody else."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
from collections.abc import Iterator

import pytest
import zmq
from support.keys import Pair, keys_of, new_pair
from support.peers import PATIENCE_S, Peer, address_of, request
from support.raw_peers import RawPeer, connect_tcp
from support.rights import logged
from support.serving import serving
from support.waiting import wait_until
from zmq.utils.monitor import recv_monitor_message

from laplace_server import ServerLHC
from laplace_server.protocol import LOGGER_NAME
from laplace_server.security import ServerSecurity
from laplace_server.stats import Refusal

pytestmark = pytest.mark.transports("tcp")

OWN, CLIENT, STRANGER = new_pair(), new_pair(), new_pair()

# Bytes of a client of pyzmq: the greeting, HELLO, INITIATE with its cookie, the first message.
HELLO = 64
INITIATE = HELLO + 202


@pytest.fixture
def server() -> Iterator[ServerLHC]:
    security = ServerSecurity(OWN.secret, {CLIENT.public: "admin"})
    with serving(security=security) as server:
        yield server


@contextlib.contextmanager
def changing(server: ServerLHC, place: int) -> Iterator[str]:
    """What stands before the server, and changes the byte at that place of what one client says.

    Its address.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        thread = threading.Thread(target=_change, args=(listener, server, place))
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def _change(listener: socket.socket, server: ServerLHC, place: int) -> None:
    accepted, _ = listener.accept()
    behind = connect_tcp(server)
    come = 0
    with accepted, behind, selectors.DefaultSelector() as selector:
        for each in (accepted, behind):
            selector.register(each, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(PATIENCE_S):
                data = bytearray(key.fileobj.recv(4096))  # type: ignore[union-attr]
                if not data:
                    return
                if key.fileobj is accepted:
                    if come <= place < come + len(data):
                        data[place - come] ^= 1
                    come += len(data)
                (behind if key.fileobj is accepted else accepted).sendall(data)


@contextlib.contextmanager
def refused(server: ServerLHC, caplog: pytest.LogCaptureFixture, reason: Refusal, words: str):
    with caplog.at_level(logging.WARNING, LOGGER_NAME):
        yield
        wait_until(lambda: server.stats().refused[reason] > 0, "it is refused")
        wait_until(lambda: logged(caplog, words), "it is logged")
    others = {each for each, count in server.stats().refused.items() if count} - {reason}
    assert not others
    with Peer(server, options=keys_of(CLIENT, OWN.public)) as peer:
        assert peer.ask("PING")["error_msg"] is None


@pytest.mark.parametrize(
    ("own", "server_key", "reason", "words"),
    [
        (
            STRANGER,
            OWN,
            Refusal.UNKNOWN_KEY,
            f"its key {STRANGER.public[:8]}... is none that this server serves",
        ),
        (CLIENT, STRANGER, Refusal.WRONG_SERVER_KEY, "it expects a server with another key"),
    ],
    ids=["unknown key", "wrong server key"],
)
def test_other_keys(
    server: ServerLHC,
    caplog: pytest.LogCaptureFixture,
    own: Pair,
    server_key: Pair,
    reason: Refusal,
    words: str,
) -> None:
    with (
        refused(server, caplog, reason, words),
        Peer(server, zmq.DEALER, options=keys_of(own, server_key.public)) as peer,
    ):
        peer.try_to_send("PING")
        wait_until(lambda: server.stats().refused[reason] > 0, "it is refused")
        assert peer.silent()


@pytest.mark.parametrize("place", [HELLO + 100, INITIATE + 30, INITIATE + 200, INITIATE + 350])
def test_a_byte_is_changed_on_the_way(
    server: ServerLHC, caplog: pytest.LogCaptureFixture, place: int
) -> None:
    # HELLO is what shows whether both mean the same server.
    in_hello = place < INITIATE
    reason = Refusal.WRONG_SERVER_KEY if in_hello else Refusal.NOT_AUTHENTIC
    words = "another key" if in_hello else "has been changed or repeated on the way"
    with (
        refused(server, caplog, reason, words),
        changing(server, place) as address,
        Peer(address, zmq.DEALER, options=keys_of(CLIENT, OWN.public)) as peer,
    ):
        peer.try_to_send("PING")
        wait_until(lambda: server.stats().refused[reason] > 0, "it is refused")
        assert peer.silent()


def test_another_mechanism(server: ServerLHC, caplog: pytest.LogCaptureFixture) -> None:
    with (
        refused(server, caplog, Refusal.MECHANISM, "a security mechanism that this server has not"),
        connect_tcp(server) as connection,
    ):
        connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"PLAIN".ljust(52, b"\0"))
        told = b""
        while more := connection.recv(4096):
            told += more
        assert told[12:16] == b"NULL"


def test_strangers_take_no_place_of_a_client_that_has_asked_nothing_yet() -> None:
    security = ServerSecurity(OWN.secret, {CLIENT.public: "view"})
    with (
        serving(security=security, max_connections=3) as server,
        zmq.Context.instance().socket(zmq.DEALER) as client,
        contextlib.ExitStack() as strangers,
    ):
        for option, value in keys_of(CLIENT, OWN.public).items():
            client.setsockopt(option, value)
        client.linger = 0
        client.rcvtimeo = int(PATIENCE_S * 1000)
        with client.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED) as monitor:
            monitor.rcvtimeo = int(PATIENCE_S * 1000)
            client.connect(address_of(server))
            recv_monitor_message(monitor)
            client.disable_monitor()
        for _ in range(6):
            strangers.enter_context(connect_tcp(server))
        wait_until(lambda: server.stats().refused[Refusal.DISPLACED] == 4, "they make room")
        client.send_multipart([b"", request("PING")])
        assert b"Still alive" in client.recv_multipart()[1]
        assert server.stats().connections_total == 7, "it was not closed, and has not come again"


def test_who_is_refused_makes_room_before_who_may_not_be() -> None:
    """It is kept for a second, to read why; strangers would take all places so."""
    security = ServerSecurity(OWN.secret, {CLIENT.public: "view"})
    with (
        serving(security=security, max_connections=2) as server,
        connect_tcp(server) as in_handshake,
        connect_tcp(server) as refused,
    ):
        assert in_handshake.recv(1) == b"\xff"
        refused.sendall(RawPeer.GREETING + RawPeer.ready())
        told = b""
        while b"key-required" not in told:
            told += refused.recv(4096)
        with connect_tcp(server) as third:
            assert third.recv(1) == b"\xff"
            assert server.stats().refused[Refusal.DISPLACED] == 0
