"""Requests and their replies are kept for the next one alike; what is not alike must not be."""

from __future__ import annotations

import pytest
import zmq
from support.peers import Peer, request
from support.raw_peers import RawPeer
from support.serving import serving
from support.waiting import wait_until

ALIKE = [f"a{number % 10}{'x' * (number // 10)}z" for number in range(40)]


def test_every_client_is_named():
    """There are more names than places."""
    with serving(data={"x": 1}) as server, Peer(server) as peer:
        for _ in range(3):
            for name in ["bench", "Bench", "b", "é", *ALIKE, {"a": "z"}, 5, [5]]:
                peer.send(request("GET", sender=name))
                reply = peer.receive()
                assert reply["to"] == name
                assert reply["payload"] == {"data": {"x": 1}}


def test_every_version_and_command_has_its_own():
    with serving(data={"x": 1}, accepted_versions=("0.2.2", "0.2.1")) as server:
        with Peer(server) as peer:
            for _ in range(3):
                for version in ("0.2.2", "0.2.1"):
                    for cmd in ("GET", "PING", "INFO"):
                        peer.send(request(cmd, version=version))
                        reply = peer.receive()
                        assert (reply["cmd"], reply["version"]) == (cmd, version)
                        assert reply["error_msg"] is None
                        assert (reply["payload"] == {"data": {"x": 1}}) == (cmd == "GET")


def test_new_data_a_new_name_and_new_info_show_at_once():
    with serving() as server, Peer(server) as peer:
        for number in range(50):
            server.set_data({"x": number}, copy=True)
            server.name = f"device {number}"
            server.freedom = number
            for _ in range(2):
                reply = peer.ask("GET")
                assert reply["payload"] == {"data": {"x": number}}
                assert reply["from"] == f"device {number}"
                assert peer.ask("INFO")["payload"]["freedom"] == number


@pytest.mark.parametrize("size", [10, 30_000, 70_000, 262_000, 263_000, 1_000_000])
def test_every_size(size):
    """Shared up to 256 KiB; counted until libzmq frees them from 64 KiB on."""
    with serving() as server, Peer(server) as peer:
        for text in ("a", "b", "a"):
            server.set_data({"x": text * size}, copy=True)
            for _ in range(3):
                assert peer.ask("GET")["payload"] == {"data": {"x": text * size}}


def test_bytes_that_differ_anywhere_are_another_request():
    """Names of every length put the version, which is refused, at every offset of a word."""
    with serving(data={"x": 1}) as server, Peer(server) as peer:
        for length in [*range(1, 20), 390, 400, 410, 420, 3000]:
            name = "n" * length
            for _ in range(2):
                for version, accepted in (("0.2.2", True), ("0.2.3", False), ("0.2.2", True)):
                    peer.send(request("GET", sender=name, version=version))
                    reply = peer.receive()
                    assert reply["to"] == name
                    assert (reply["error_msg"] is None) is accepted


def test_a_known_request_goes_to_a_handler_registered_later():
    with serving(data={"x": 1}) as server, Peer(server) as peer:
        for _ in range(3):
            assert peer.ask("GET")["payload"] == {"data": {"x": 1}}
        server.on_get = lambda: server.set_data({"x": 2}, copy=True)
        for _ in range(3):
            assert peer.ask("GET")["payload"] == {"data": {"x": 2}}
        server.on_get = None
        server.set_data({"x": 3}, copy=True)
        for _ in range(3):
            assert peer.ask("GET")["payload"] == {"data": {"x": 3}}


def test_a_known_request_behind_one_for_python_keeps_its_turn():
    """What is known by its bytes still waits for what came before it from the same peer."""
    done = []
    with serving(data={"x": 1}) as server, Peer(server, zmq.DEALER) as peer:
        peer.ask("GET")

        def moved(positions: dict[str, int]) -> None:
            done.append(positions)
            server.set_data(positions, copy=True)

        server.set_on_position_changed(moved)
        for number in range(20):
            peer.send(request("SET", {"positions": {"x": number}}))
            peer.send(request("GET"))
            peer.receive()
            assert peer.receive()["payload"] == {"data": {"x": number}}
    assert done == [{"x": number} for number in range(20)]


def test_what_is_given_away_once_is_not_kept():
    with serving(data={"x": 1}, empty_data_after_get=True) as server, Peer(server) as peer:
        assert peer.ask("GET")["payload"] == {"data": {"x": 1}}
        for number in range(5):
            assert peer.ask("GET")["payload"] == {"data": {}}
            server.set_data({"x": number}, copy=True)
            assert peer.ask("GET")["payload"] == {"data": {"x": number}}


def test_a_shared_reply_outlives_its_cache_and_its_server():
    """Replies parked for a client that reads late hold what was true when they were made."""
    asked = 60
    with serving(max_waiting_bytes=1 << 30) as server:
        with RawPeer(server) as late, Peer(server, zmq.REQ) as peer:
            for number in range(asked):
                server.set_data({"x": number, "pad": "p" * 200_000}, copy=True)
                late.send(request("GET"))
                done = number + 1
                wait_until(lambda done=done: server.stats().commands["GET"].native >= done, "made")
            server.set_data({}, copy=True)
            assert peer.ask("GET")["payload"] == {"data": {}}
            for number in range(asked):
                assert late.receive()["payload"]["data"]["x"] == number
