"""Roles over real connections: each command, however it is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zmq
from support.peers import PATIENCE_S, Peer, message
from support.rights import PAYLOAD, denial, odd, secured
from support.serving import Gate, serving

from laplace_server import ServerLHC
from laplace_server.stats import ErrorKind
from laplace_server.wire.commands import COMMANDS, ROLES

pytestmark = pytest.mark.transports("tcp")

RANK = {None: -1, "view": 0, "operate": 1, "admin": 2}
ASKED = [*COMMANDS, "MINE", "NOBODY'S"]


def least_rank(cmd: str) -> int:
    return RANK[COMMANDS[cmd].least_role] if cmd in COMMANDS else RANK["operate"]


class Calls:
    """What a server's program was asked to do."""

    def __init__(self, server: ServerLHC) -> None:
        self.names: list[str] = []
        for command in COMMANDS.values():
            if command.callback is not None and command.callback != "on_get":
                setattr(server, command.callback, self.of(command.name))
        server.set_on_halt(lambda: self.names.append("HALT"))
        server.register_handler("MINE", self.mine)

    def of(self, name: str) -> Any:
        return lambda _: self.names.append(name)

    def mine(self, *_: Any) -> dict[str, Any]:
        self.names.append("MINE")
        return {}


def infinite(cmd: str) -> bytes:
    return json.dumps(message(cmd, {**PAYLOAD, "positions": float("inf")})).encode()


def escaped(cmd: str) -> bytes:
    body = json.dumps(message(cmd, PAYLOAD))
    return body.replace(cmd, f"\\u{ord(cmd[0]):04x}{cmd[1:]}", 1).encode()


def usual(cmd: str) -> bytes:
    return json.dumps(message(cmd, PAYLOAD)).encode()


WRITTEN = {
    "usual": usual,
    "odd": odd,
    "infinite": infinite,
    "escaped": escaped,
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_its_commands(role: str, written: str) -> None:
    with serving(security=secured(role)) as server, Peer(server) as peer:
        server.declare_stream("s")
        calls = Calls(server)
        refused: dict[str, int] = {}
        for cmd in sorted(ASKED, key="STOP".__eq__):  # that comes last
            for _ in range(2):
                calls.names.clear()
                reply = peer.ask(WRITTEN[written](cmd))
                if least_rank(cmd) > RANK[role]:
                    assert (reply["error_msg"], reply["cmd"]) == (denial(cmd), cmd)
                    assert (reply["to"], calls.names) == ("tester", [])
                    counted = cmd if cmd != "NOBODY'S" else ""
                    refused[counted] = refused.get(counted, 0) + 1
                else:
                    unknown = cmd == "NOBODY'S"
                    assert reply["error_msg"] == ("Unknown command" if unknown else None)
                    has_callback = cmd in ("MINE", "HALT") or cmd in calls_of(server)
                    assert calls.names == ([cmd] if has_callback else [])
                if cmd == "STOP":
                    break
        stats = server.stats()
        assert stats.not_permitted == ({"anonymous": refused} if refused else {})
        assert stats.errors[ErrorKind.NOT_PERMITTED] == sum(refused.values())
        if role == "admin":
            server.join(PATIENCE_S)
        assert server.is_alive() == (role != "admin")


def calls_of(server: ServerLHC) -> set[str]:
    return {
        name
        for name, command in COMMANDS.items()
        if command.callback is not None and command.callback != "on_get"
    }


def test_refusals_need_no_python() -> None:
    """They come while a callback runs, and nothing of them is Python's."""
    with (
        serving(security=secured("operate")) as server,
        Peer(server) as busy,
        Peer(server) as peer,
    ):
        gate = Gate()
        server.set_on_position_changed(gate)
        busy.send("SET", {"positions": 1})
        gate.wait_begun()
        assert peer.ask("STOP")["error_msg"] == denial("STOP")
        gate.open()
        assert busy.receive()["error_msg"] is None
        commands = server.stats().commands
        assert (commands["STOP"].native, commands["STOP"].python) == (1, 0)


def test_a_set_of_commands() -> None:
    with serving(security=secured({"GET", "MINE"})) as server, Peer(server) as peer:
        calls = Calls(server)
        for cmd, refused in (("GET", 0), ("MINE", 0), ("PING", 1), ("SET", 1), ("STOP", 1)):
            assert peer.ask(cmd, PAYLOAD)["error_msg"] == (denial(cmd) if refused else None)
        assert calls.names == ["MINE"]


@pytest.mark.parametrize("cmd", [["SET"], {"SET": 1}, 7, True, 1.5])
def test_commands_that_are_no_text(cmd: Any) -> None:
    security = secured("view")
    with serving(security=security) as server, Peer(server) as peer:
        reply = peer.ask(cmd)
        assert reply["error_msg"].startswith("not permitted: the role 'anonymous'")
        assert reply["cmd"] == cmd
        security.allow_anonymous("operate")
        assert peer.ask(cmd)["error_msg"] == "Unknown command"


def test_what_is_no_request_is_told_so() -> None:
    with serving(security=secured("view")) as server, Peer(server) as peer:
        assert "not valid JSON" in peer.ask(b"[")["error_msg"]
        assert "version" in peer.ask("SET", version="9")["error_msg"]
        with Peer(server, zmq.DEALER) as dealer:
            dealer.send_frames([b"", b"{}", b"{}"])
            assert "one frame" in dealer.receive()["error_msg"]
        assert server.stats().not_permitted == {}


def test_stop_may_be_off_beside_it() -> None:
    """That refuses whoever has the right."""
    security = secured("admin")
    with serving(security=security, remote_stop=False) as server, Peer(server) as peer:
        assert "remote_stop=False" in peer.ask("STOP")["error_msg"]
        stats = server.stats()
        assert stats.errors[ErrorKind.NOT_PERMITTED] == 1
        assert stats.not_permitted == {}
        security.allow_anonymous("operate")
        assert peer.ask("STOP")["error_msg"] == denial("STOP")
