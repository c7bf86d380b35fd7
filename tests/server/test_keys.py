"""Clients with keys, of pyzmq: each may do what its role permits, and the log has their names."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from support.keys import Pair, keys_of, new_pair
from support.paths import CHECKOUT
from support.peers import PATIENCE_S, Peer, request
from support.rights import PAYLOAD, denial, logged, odd
from support.serving import limited, serving
from support.stream_peers import WirePeer
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.protocol import LOGGER_NAME
from laplace_server.security import ServerSecurity
from laplace_server.wire.commands import COMMANDS, ROLES

pytestmark = pytest.mark.transports("tcp")

NAMES = ("anna", "bert", "carl", "robot")


class Lab:
    """A server, and whom it serves: a key in each role, by name, one in a role of its own."""

    def __init__(self) -> None:
        self.pairs = {name: new_pair() for name in NAMES}
        self.security = ServerSecurity(new_pair().secret, anonymous="view")
        for name, role in zip(NAMES, [*ROLES, {"SCAN", "MINE", "GET ARRAYS"}], strict=True):
            self.security.allow(self.pairs[name].public, role, name)

    def options(self, name: str | None) -> dict[int, bytes]:
        return {} if name is None else keys_of(self.pairs[name], self.security.public_key)

    def peer(self, server: ServerLHC, name: str | None, kind: int = zmq.REQ) -> Peer:
        return Peer(server, kind, options=self.options(name))

    def ask(self, server: ServerLHC, name: str | None, cmd: Any, payload: Any = None) -> Any:
        with self.peer(server, name) as peer:
            return peer.ask(cmd, payload)["error_msg"]


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def at_info(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, LOGGER_NAME):
        yield caplog


MAY = {
    None: ["GET", "GET ARRAYS", "INFO", "PING", "STATS", "SUBSCRIBE"],
    "anna": ["GET", "GET ARRAYS", "INFO", "PING", "STATS", "SUBSCRIBE"],
    "bert": [*sorted({*COMMANDS} - {"STOP"}), "MINE"],
    "carl": [*sorted(COMMANDS), "MINE"],
    "robot": ["GET ARRAYS", "MINE", "SCAN"],
}


def test_each_may_do_what_its_role_permits(lab: Lab) -> None:
    with serving(security=lab.security) as server:
        server.declare_stream("s")
        server.register_handler("MINE", lambda *_: {})
        server.set_on_halt(lambda: None)
        roles = dict(
            zip([None, *NAMES], ["anonymous", *ROLES, "GET ARRAYS, MINE, SCAN"], strict=True)
        )
        commands = [*sorted({*COMMANDS} - {"STOP"}), "MINE", "STOP"]
        for name, role in roles.items():
            with lab.peer(server, name) as peer:
                for cmd in commands if name != "carl" else commands[:-1]:
                    wanted = None if cmd in MAY[name] else denial(cmd, role)
                    for body in (request(cmd, PAYLOAD), odd(cmd)):
                        reply = peer.ask(body)
                        assert reply["error_msg"] == wanted, (name, cmd)
        denied = {role: {*commands} - {*MAY[name]} for name, role in roles.items()}
        stats = server.stats()
        assert {role: {*of} for role, of in stats.not_permitted.items()} == {
            role: of for role, of in denied.items() if role != "admin"
        }
        assert all(count == 2 for of in stats.not_permitted.values() for count in of.values())
        assert lab.ask(server, "carl", "STOP") is None
        server.join(PATIENCE_S)
        assert not server.is_alive()


@pytest.mark.parametrize("cmd", ["GET", "GET ARRAYS", "INFO", "PING"])
def test_what_is_remembered_of_one_role_is_for_no_other(lab: Lab, cmd: str) -> None:
    """The same bytes, from each in turn; the first answers are kept for the next ones."""
    body = request(cmd)
    with (
        serving(security=lab.security, data={"a": 1}) as server,
        lab.peer(server, "anna", zmq.DEALER) as anna,
        lab.peer(server, "robot", zmq.DEALER) as robot,
        lab.peer(server, None, zmq.DEALER) as nobody,
    ):
        lab.security.allow(lab.pairs["robot"].public, {"SCAN"})
        for _ in range(5):
            for peer in (anna, robot, nobody):
                peer.send_frames([b"", body])
            assert b'"error_msg": null' in anna.receive_frames()[1]
            refused = denial(cmd, "SCAN")
            assert robot.receive()["error_msg"] == refused
            assert b'"error_msg": null' in nobody.receive_frames()[1]


def test_a_subscription_is_for_who_may_follow(lab: Lab) -> None:
    wanted = {"stream": "s", "subscription": 1, "start": "latest", "messages": 9, "bytes": 9}
    with serving(security=lab.security) as server:
        server.declare_stream("s")
        with (
            WirePeer(server, options=lab.options("anna")) as anna,
            WirePeer(server, options=lab.options("robot")) as robot,
        ):
            follower = anna.subscribe("s")
            refused = robot.ask("SUBSCRIBE", wanted)
            assert refused["error_msg"] == denial("SUBSCRIBE", "GET ARRAYS, MINE, SCAN")
            server.publish("s", {"n": 1})
            anna.read_until(lambda: follower.sent == 1, "the update")
            assert [each.who for each in server.stats().subscribers] == [follower.who]
            assert robot.peer.silent()


def test_who_did_it_stands_in_the_log(lab: Lab, at_info: pytest.LogCaptureFixture) -> None:
    with serving(security=lab.security) as server:
        server.register_handler("MINE", lambda *_: {})
        server.set_on_halt(lambda: None)
        done = [name for name in MAY["bert"] if name in {*COMMANDS, "MINE"} - {*MAY["anna"]}]
        with lab.peer(server, "bert") as peer:
            for cmd in done:
                assert peer.ask(cmd, PAYLOAD)["error_msg"] is None
            assert peer.ask("NOBODY'S")["error_msg"] == "Unknown command"
            assert "version" in peer.ask("SET", version="9")["error_msg"]
        for cmd in done:
            assert logged(at_info, f"Received '{cmd}' from 'tester' (bert).")
        assert logged(at_info, "Unknown command \"NOBODY'S\" from 'tester' (bert).")
        assert logged(at_info, "Refused a message from 'tester' (bert): ", "version")
        # What a client calls itself is not what its key is called.
        with lab.peer(server, "robot") as peer:
            assert peer.ask("SCAN", PAYLOAD, sender="bert (carl)")["error_msg"] is None
        assert logged(at_info, "Received 'SCAN' from 'bert (carl)' (robot).")
        assert lab.ask(server, "carl", "STOP") is None
        server.join(PATIENCE_S)
        assert logged(at_info, "Received 'STOP' from 'tester' (carl).")


def test_who_was_denied_stands_in_the_log(lab: Lab, at_info: pytest.LogCaptureFixture) -> None:
    with serving(security=lab.security) as server:
        for body in (request("SET", PAYLOAD), odd("SET")):
            assert lab.ask(server, "anna", body) == denial("SET", "view")
    (line,) = logged(at_info, "Not permitted")
    assert "the role 'view' of 'anna' (127.0.0.1:" in line
    assert "may not use 'SET'" in line
    assert not logged(at_info, "Received 'SET'")


def test_a_client_of_another_server_key_and_a_stranger(lab: Lab, at_info: Any) -> None:
    stranger: Pair = new_pair()
    with serving(security=lab.security) as server:
        for options in (
            keys_of(stranger, lab.security.public_key),
            keys_of(lab.pairs["anna"], new_pair().public),
        ):
            with Peer(server, zmq.DEALER, options=options) as peer:
                peer.try_to_send("PING")
                assert peer.silent()
        assert lab.ask(server, "anna", "PING") is None
        assert server.stats().bytes_out > 0
        assert server.stats().commands["PING"].native == 1


def test_the_lines_of_the_log_are_those_of_the_page(lab: Lab, at_info: Any) -> None:
    page = (CHECKOUT / "docs" / "security.md").read_text(encoding="utf-8")
    section = page[page.index("### What the log says") : page.index("## Files")]
    (block,) = re.findall(r"^```text\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    security = ServerSecurity(new_pair().secret)
    for name, role in (("anna", "operate"), ("display", "view")):
        lab.pairs[name] = new_pair()
        security.allow(lab.pairs[name].public, role, name)
    lab.security = security
    kind = limited(refusal_log_ms=50)
    with serving(security=security, name="stage", kind=kind) as server:
        with lab.peer(server, "anna") as peer:
            assert peer.ask("SET", PAYLOAD, sender="scan program")["error_msg"] is None
        with lab.peer(server, "display") as peer:

            def denied_often() -> bool:
                peer.ask("SET", PAYLOAD)
                return bool(logged(at_info, "may not use 'SET'; ", " more such"))

            wait_until(denied_often, "a line counts others")
            security.revoke("display")
            wait_until(lambda: logged(at_info, "has been taken away"), "she is disconnected")
        with Peer(server, zmq.DEALER, options=keys_of(new_pair(), security.public_key)) as peer:
            wait_until(lambda: logged(at_info, "that this server serves"), "a stranger is refused")
    # But for keys, numbers and addresses, which are others.
    changing = r"[0-9.]+:\d+|\d+ more|is \S{40};|key \S{8}\.\.\."
    said = {re.sub(changing, "#", text) for text in logged(at_info)}
    told = [re.sub(changing, "#", line) for line in block.splitlines()]
    assert len(told) == 6
    told.remove(
        "[Server stage] Keys have changed: 'bert' (admin) is new; 'display' (view) is removed."
    )
    assert [line for line in told if line not in said] == []
    assert logged(at_info, "Keys have changed: 'display' (view) is removed.")
