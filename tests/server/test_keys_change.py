"""Keys that come, go and change while a server runs, with clients of pyzmq."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq
from support.keys import Pair, keys_of, new_pair, put_key, server_folder, write_file
from support.peers import PATIENCE_S, Peer
from support.rights import PAYLOAD, denial, logged
from support.serving import Gate, serving
from support.stream_peers import WirePeer
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.protocol import LOGGER_NAME
from laplace_server.security import ServerSecurity
from laplace_server.security import folder as folders
from laplace_server.stats import Refusal

pytestmark = pytest.mark.transports("tcp")


@pytest.fixture
def anna() -> Pair:
    return new_pair()


@pytest.fixture
def security(anna: Pair) -> ServerSecurity:
    made = ServerSecurity(new_pair().secret)
    made.allow(anna.public, "operate", "anna")
    return made


def peer_of(server: ServerLHC, security: ServerSecurity, client: Pair, kind: int = zmq.REQ) -> Peer:
    return Peer(server, kind, options=keys_of(client, security.public_key))


def refused(server: ServerLHC, reason: Refusal) -> Callable[[], bool]:
    return lambda: server.stats().refused[reason] > 0


def test_a_key_is_added_and_removed(security: ServerSecurity, anna: Pair) -> None:
    bert = new_pair()
    with serving(security=security) as server, peer_of(server, security, anna) as first:
        assert first.ask("PING")["error_msg"] is None
        with peer_of(server, security, bert, zmq.DEALER) as early:
            early.try_to_send("PING")
            wait_until(refused(server, Refusal.UNKNOWN_KEY), "he is not known")
            assert early.silent()
        security.allow(bert.public, "admin", "bert")
        with peer_of(server, security, bert) as second:
            assert second.ask("SET", PAYLOAD)["error_msg"] is None
            assert server.stats().connections == 2
            security.revoke("bert")
            wait_until(refused(server, Refusal.WITHDRAWN), "he is disconnected")
            second.try_to_send("SET", PAYLOAD)
            assert second.silent()
        assert first.ask("PING")["error_msg"] is None  # nothing of it is to her
        assert server.stats().refused[Refusal.WITHDRAWN] == 1


def test_another_role_counts_from_the_next_request(security: ServerSecurity, anna: Pair) -> None:
    with serving(security=security) as server, peer_of(server, security, anna) as peer:
        for role, permitted in (("view", "GET"), ({"SET"}, "SET"), ("operate", "SET")) * 2:
            security.allow(anna.public, role)
            for cmd in ("GET", "SET"):
                told = peer.ask(cmd, PAYLOAD)["error_msg"]
                may = cmd == permitted or role == "operate"
                assert told == (None if may else denial(cmd, "SET" if role == {"SET"} else "view"))
        assert server.stats().connections_total == 1


@pytest.mark.parametrize("revoked", [False, True])
def test_what_waits_behind_a_callback_is_not_read(
    security: ServerSecurity, anna: Pair, revoked: bool
) -> None:
    """A native read that the loop begins when the callback which took the right away is done."""
    gate = Gate()

    def on_position_changed(positions: Any) -> None:
        gate(positions)
        if revoked:
            security.revoke("anna")
        else:
            security.allow(anna.public, {"SET"})

    with (
        serving(security=security, data={"secret": 1}) as server,
        peer_of(server, security, anna, zmq.DEALER) as peer,
    ):
        server.set_on_position_changed(on_position_changed)
        peer.send("SET", {"positions": 1})
        gate.wait_begun()
        peer.send("GET")
        wait_until(lambda: server.stats().queue_depth == 2, "it waits")
        gate.open()
        if revoked:
            wait_until(refused(server, Refusal.WITHDRAWN), "she is disconnected")
        else:
            assert peer.receive()["error_msg"] is None
            assert peer.receive()["error_msg"] == denial("GET", "SET")
        assert server.stats().commands["GET"].native == (0 if revoked else 1)
        assert server.stats().not_permitted == ({} if revoked else {"SET": {"GET": 1}})


@pytest.mark.parametrize("revoked", [False, True])
def test_what_waits_is_not_done_for_who_may_no_more(
    security: ServerSecurity, anna: Pair, revoked: bool, caplog: pytest.LogCaptureFixture
) -> None:
    bert = new_pair()
    security.allow(bert.public, "operate", "bert")
    with (
        serving(security=security) as server,
        peer_of(server, security, bert) as other,
        peer_of(server, security, anna, zmq.DEALER) as peer,
    ):
        gate = Gate()
        server.set_on_position_changed(gate)
        other.send("SET", {"positions": 1})
        gate.wait_begun()
        peer.send("SET", {"positions": 2})
        wait_until(lambda: server.stats().queue_depth == 2, "it waits")
        if revoked:
            security.revoke("anna")
        else:
            security.allow(anna.public, "view")
        gate.open()
        assert other.receive()["error_msg"] is None
        if not revoked:
            assert peer.receive()["error_msg"] == denial("SET", "view")
        assert other.ask("SET", {"positions": 3})["error_msg"] is None
        assert gate.calls == [1, 3]
        removed, denied = (
            "The key of 'anna' (127.0.0.1:",
            "Not permitted: the role 'view' of 'anna'",
        )
        told, other_line = (removed, denied) if revoked else (denied, removed)
        wait_until(lambda: logged(caplog, told), "it is told")
        assert not logged(caplog, other_line)
        if revoked:
            assert logged(caplog, removed, ") was removed, and its 'SET' was not done.")


def test_a_stream_ends_with_the_key(security: ServerSecurity, anna: Pair) -> None:
    options = keys_of(anna, security.public_key)
    with serving(security=security) as server:
        server.declare_stream("s")
        with WirePeer(server, options=options) as peer:
            follower = peer.subscribe("s")
            server.publish("s", {"n": 1})
            peer.read_until(lambda: follower.sent == 1, "the update")
            # In a role that may not follow, she is told that it has ended.
            security.allow(anna.public, {"SET"})
            peer.read_until(lambda: peer.unknown[1] == 1, "the end")
            assert server.stats().subscribers == ()
            security.allow(anna.public, "view")
            peer.subscribe("s")
            security.revoke("anna")
            wait_until(lambda: not server.stats().subscribers, "it is forgotten")
            wait_until(lambda: server.stats().connections == 0, "she is disconnected")
            assert server.publish("s", {"n": 2}) == 2


def test_the_servers_own_key_is_rotated(security: ServerSecurity, anna: Pair) -> None:
    before = security.public_key
    with serving(security=security) as server, peer_of(server, security, anna) as there:
        assert there.ask("PING")["error_msg"] is None
        security.rotate(new_pair().secret)
        assert there.ask("SET", PAYLOAD)["error_msg"] is None
        with peer_of(server, security, anna) as new:
            assert new.ask("SET", PAYLOAD)["error_msg"] is None
        with Peer(server, zmq.DEALER, options=keys_of(anna, before)) as old:
            old.send("PING")
            wait_until(refused(server, Refusal.WRONG_SERVER_KEY), "it expects another server")
            assert old.silent()
        assert there.ask("PING")["error_msg"] is None


def test_clients_with_and_without_keys(security: ServerSecurity, anna: Pair) -> None:
    """A fleet on its way: at its end, nobody is served without."""
    security.allow_anonymous("view")
    with (
        serving(security=security) as server,
        Peer(server) as without,
        peer_of(server, security, anna) as with_key,
    ):
        assert without.ask("GET")["error_msg"] is None
        assert without.ask("SET", PAYLOAD)["error_msg"] == denial("SET")
        assert with_key.ask("SET", PAYLOAD)["error_msg"] is None
        security.allow_anonymous(None)
        wait_until(refused(server, Refusal.WITHDRAWN), "it is disconnected")
        assert with_key.ask("SET", PAYLOAD)["error_msg"] is None
        without.try_to_send("GET")
        wait_until(refused(server, Refusal.ANONYMOUS), "it does not come back")
        assert without.silent()


def test_a_callback_changes_keys(security: ServerSecurity, anna: Pair) -> None:
    """Of others, and of who asks: whoever takes its own key away hears of that at most."""
    bert = new_pair()

    def on_position_changed(positions: Any) -> None:
        if positions == "bert":
            security.allow(bert.public, "view", "bert")
        else:
            security.revoke("anna")

    with (
        serving(security=security) as server,
        peer_of(server, security, anna, zmq.DEALER) as peer,
    ):
        server.set_on_position_changed(on_position_changed)
        assert peer.ask("SET", {"positions": "bert"})["error_msg"] is None
        with peer_of(server, security, bert) as other:
            assert other.ask("GET")["error_msg"] is None
            peer.send("SET", {"positions": "anna"})
            peer.send("GET")
            wait_until(refused(server, Refusal.UNKNOWN_KEY), "she does not come back")
            told = [peer.receive()["cmd"] for _ in range(2) if peer.answered(0.1)]
            assert told in ([], ["SET"])
            assert other.ask("GET")["error_msg"] is None
        assert server.stats().refused[Refusal.WITHDRAWN] == 1
        assert server.stats().callback_errors == {}


def test_many_threads_change_keys_of_two_servers(security: ServerSecurity, anna: Pair) -> None:
    pairs = [new_pair() for _ in range(4)]
    barrier = threading.Barrier(len(pairs))

    def change(pair: Pair) -> None:
        barrier.wait()
        for _ in range(10):
            security.allow(pair.public, "view")
            security.revoke(pair.public)
        security.allow(pair.public, "operate")

    threads = [threading.Thread(target=change, args=[pair]) for pair in pairs]
    with serving(security=security) as one, serving(security=security) as two:
        with peer_of(one, security, anna) as peer:
            for thread in threads:
                thread.start()
            for _ in range(20):
                assert peer.ask("SET", PAYLOAD)["error_msg"] is None
            for thread in threads:
                thread.join()
        for server in (one, two):
            for pair in pairs:
                with peer_of(server, security, pair) as peer:
                    assert peer.ask("SET", PAYLOAD)["error_msg"] is None


def test_a_key_keeps_its_name(
    security: ServerSecurity, anna: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    bert = new_pair()
    with caplog.at_level(logging.INFO, LOGGER_NAME), serving(security=security) as server:
        for pair, name in ((anna, "anna"), (bert, "bert")) * 2:
            security.allow(pair.public, "operate", name)
            with peer_of(server, security, pair) as peer:
                caplog.clear()
                assert peer.ask("SET", PAYLOAD)["error_msg"] is None
                assert logged(caplog, f"'SET' from 'tester' ({name}).")
            security.revoke(name)
        security.allow(bert.public, "operate", "anna")
        with peer_of(server, security, bert) as peer:
            assert peer.ask("SET", PAYLOAD)["error_msg"] is None
            assert logged(caplog, "'SET' from 'tester' (anna).")


def test_the_command_line_changes_a_running_server(tmp_path: Path) -> None:
    folder = server_folder(tmp_path / "stage-keys")
    anna = put_key(folder, "view", "anna")
    bert = new_pair()
    security = ServerSecurity.from_folder(folder)
    with serving(security=security) as server, peer_of(server, security, anna) as peer:
        assert peer.ask("SET", PAYLOAD)["error_msg"] == denial("SET", "view")
        (folder / "allowed/operate").mkdir()
        (folder / "allowed/view/anna.key").rename(folder / "allowed/operate/anna.key")
        wait_until(lambda: peer.ask("SET", PAYLOAD)["error_msg"] is None, "she may now")
        folders.allow(folder, write_file(tmp_path / "bert.key", bert), "admin")
        wait_until(lambda: bert.public in security.allowed, "he is known")
        security.reload()  # is over when the server has been told of that, too
        with peer_of(server, security, bert) as other:
            assert other.ask("PING")["error_msg"] is None
        folders.revoke(folder, "anna")
        wait_until(refused(server, Refusal.WITHDRAWN), "she is disconnected")
        with peer_of(server, security, bert) as other:
            assert other.ask("STOP")["error_msg"] is None
        server.join(PATIENCE_S)
        assert not server.is_alive()
