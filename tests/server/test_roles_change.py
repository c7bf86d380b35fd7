"""Rights that change while a server runs, who may not connect, and what the log is told."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import zmq
from support.keys import new_pair
from support.peers import PATIENCE_S, Peer, ask, message
from support.raw_peers import RawPeer, connect_tcp
from support.rights import PAYLOAD, denial, logged, odd, secured
from support.serving import Gate, limited, serving
from support.waiting import wait_until

from laplace_server.client import ClientLHC
from laplace_server.errors import RemoteError, RequestTimeout
from laplace_server.protocol import LOGGER_NAME
from laplace_server.stats import Refusal

pytestmark = pytest.mark.transports("tcp")


def test_a_change_counts_for_the_next_request() -> None:
    security = secured("view")
    with serving(security=security) as server, Peer(server) as peer:
        for _ in range(3):
            security.allow_anonymous("view")
            assert [peer.ask(cmd, PAYLOAD)["error_msg"] for cmd in ("GET", "GET", "SET")] == [
                None,
                None,
                denial("SET"),
            ]
            security.allow_anonymous({"SET"})
            assert [peer.ask(cmd, PAYLOAD)["error_msg"] for cmd in ("GET", "SET", "SET")] == [
                denial("GET"),
                None,
                None,
            ]


def test_a_change_counts_for_what_waits_for_python() -> None:
    security = secured("operate")
    with (
        serving(security=security) as server,
        Peer(server, zmq.DEALER) as peer,
        Peer(server, zmq.DEALER) as other,
    ):
        gate = Gate()
        server.set_on_position_changed(gate)
        peer.send("SET", {"positions": 1})
        gate.wait_begun()
        for each in (peer, other):
            each.send("SET", {"positions": 2})
        wait_until(lambda: server.stats().queue_depth == 3, "they wait")
        security.allow_anonymous("view")
        gate.open()
        assert peer.receive()["error_msg"] is None
        assert peer.receive()["error_msg"] == other.receive()["error_msg"] == denial("SET")
        assert gate.calls == [1]
        assert server.stats().not_permitted == {"anonymous": {"SET": 2}}


def test_handlers_that_come_and_go_keep_the_rights() -> None:
    with serving(security=secured("view")) as server, Peer(server) as peer:
        server.register_handler("GET", lambda *_: {"data": "mine"})
        assert peer.ask("GET")["payload"] == {"data": "mine"}
        server.register_handler("SET", lambda *_: {})
        assert peer.ask("SET")["error_msg"] == denial("SET")
        server.name = "other"
        assert peer.ask("SET")["error_msg"] == denial("SET")


# ---- who may not connect


def test_who_has_no_key_is_refused_in_the_handshake(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING, LOGGER_NAME),
        serving(security=secured(None, {new_pair().public: "admin"})) as server,
    ):
        with connect_tcp(server) as connection:
            connection.sendall(RawPeer.GREETING + RawPeer.ready())
            told = b""
            while more := connection.recv(4096):
                told += more
            assert told[64:] == b"\x04\x13\x05ERROR\x0ckey-required"
        with Peer(server, zmq.DEALER) as peer:
            peer.try_to_send("PING")
            wait_until(lambda: server.stats().refused[Refusal.ANONYMOUS] >= 2, "it is refused")
            assert peer.silent()
        with ClientLHC(server.address, timeout_s=1) as client, pytest.raises(RequestTimeout) as why:
            client.ping()
        assert "it serves only clients with a key" in str(why.value)
        wait_until(lambda: server.stats().connections == 0, "all have gone")
        assert server.stats().bytes_in == 0
        (line,) = logged(caplog, "has no key", level=logging.WARNING)
        assert "'anonymous' a role" in line


def test_who_loses_the_right_to_be_there_is_disconnected(caplog: pytest.LogCaptureFixture) -> None:
    security = secured("view")
    with serving(security=security) as server, RawPeer(server) as peer:
        peer.send(json.dumps(message("PING")).encode())
        assert peer.receive()["error_msg"] is None
        security.allow_anonymous(None)
        with pytest.raises(ConnectionError):
            peer.read_exactly(1)
        wait_until(lambda: server.stats().refused[Refusal.WITHDRAWN] == 1, "it is counted")
        security.allow_anonymous("view")
        assert ask(server, "PING")["error_msg"] is None


def test_a_stream_ends_with_the_right_to_follow_it() -> None:
    security = secured("view")
    with serving(security=security) as server, ClientLHC(server.address) as client:
        server.declare_stream("s")
        with client.subscribe("s", start="latest", timeout_s=PATIENCE_S) as subscription:
            assert server.publish("s", {"n": 1}) == 1
            assert subscription.next(PATIENCE_S).seq == 1
            security.allow_anonymous("admin")  # more than before: it goes on
            server.publish("s", {"n": 2})
            assert subscription.next(PATIENCE_S).seq == 2
            assert server.stats().refused[Refusal.WITHDRAWN] == 0
            security.allow_anonymous({"PING"})
            wait_until(lambda: not server.stats().subscribers, "it is forgotten")
            server.publish("s", {"n": 3})

            def asks_in_vain() -> bool:
                with pytest.raises(TimeoutError):
                    subscription.next(0.05)
                return server.stats().not_permitted != {}

            wait_until(asks_in_vain, "it has asked again")
            assert ask(server, "PING")["error_msg"] is None
            security.allow_anonymous("view")
            assert subscription.next(PATIENCE_S).seq == 3
        assert server.stats().refused[Refusal.WITHDRAWN] == 0


def test_who_may_not_subscribe_is_told_so() -> None:
    with serving(security=secured({"GET"})) as server, ClientLHC(server.address) as client:
        server.declare_stream("s")
        with pytest.raises(RemoteError, match="may not use 'SUBSCRIBE'"):
            client.subscribe("s", timeout_s=PATIENCE_S)
        assert server.stats().not_permitted == {"anonymous": {"SUBSCRIBE": 1}}


# ---- the log


@pytest.fixture
def at_info(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, LOGGER_NAME):
        yield caplog


def test_the_log_is_told_once_a_minute(at_info: pytest.LogCaptureFixture) -> None:
    with serving(security=secured("view")) as server:
        for _ in range(3):  # coming again changes nothing
            with Peer(server) as peer:
                assert peer.ask("SET")["error_msg"] == denial("SET")
                assert peer.ask(odd("SET"))["error_msg"] == denial("SET")
    (line,) = logged(at_info, "Not permitted")
    assert "'anonymous' of 127.0.0.1:" in line
    assert "'SET'" in line
    assert not logged(at_info, "Received 'SET'")
    assert not logged(at_info, "Refused a message")


def test_the_log_says_how_many_there_were(at_info: pytest.LogCaptureFixture) -> None:
    kind = limited(refusal_log_ms=50)
    with serving(security=secured("view"), kind=kind) as server, Peer(server) as peer:

        def ask_and_see() -> bool:
            for _ in range(20):
                peer.ask("NOBODY'S")
            return bool(logged(at_info, "an unknown command; ", " more such"))

        wait_until(ask_and_see, "a line counts others")


def test_the_log_says_who_did_it(at_info: pytest.LogCaptureFixture) -> None:
    with serving(security=secured("admin")) as server, Peer(server) as peer:
        for cmd in ("SET", "SAVE", "STOP"):
            assert peer.ask(cmd, PAYLOAD)["error_msg"] is None
        server.join(PATIENCE_S)
    for cmd in ("SET", "SAVE", "STOP"):
        assert logged(at_info, f"Received '{cmd}' from 'tester' (anonymous, 127.0.0.1:")
    at_info.clear()
    with serving() as server, Peer(server) as peer:  # nothing of it without security
        peer.ask("SET", PAYLOAD)
    assert logged(at_info, "Received 'SET' from 'tester'.")
