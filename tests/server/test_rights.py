"""What roles permit, and how a server is given them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from support.keys import new_pair
from support.peers import ask
from support.rights import PAYLOAD, denial, logged, secured
from support.serving import make, serving

from laplace_server.protocol import LOGGER_NAME
from laplace_server.security import ServerSecurity
from laplace_server.security.roles import checked_role, words_of
from laplace_server.server._core import ANONYMOUS, MAX_ROLES
from laplace_server.server.rights import RoleTable
from laplace_server.server.rights_log import is_loopback
from laplace_server.wire.commands import COMMANDS, ROLES

VIEW = {"INFO", "PING", "GET", "GET ARRAYS", "SUBSCRIBE", "STATS"}
ADMIN = {"STOP"}


def test_each_command_has_its_least_role() -> None:
    """A new command is said to be the operators', or it is listed here."""
    for name, command in COMMANDS.items():
        assert command.least_role == (
            "view" if name in VIEW else "admin" if name in ADMIN else "operate"
        )


def table(anonymous: Any, *roles: Any, before: RoleTable | None = None) -> RoleTable:
    """The roles of a server that serves a key in each of these."""
    allowed = {new_pair().public: role for role in roles}
    return RoleTable(secured(anonymous, allowed).rights, before)


@pytest.mark.parametrize("role", ROLES)
def test_roles_include_each_other(role: str) -> None:
    roles = table(role)
    unnamed: list[Any] = [None, 7, ["SET"], {"SET": 1}]
    own = ["MINE", *unnamed]
    permitted = [cmd for cmd in [*COMMANDS, *own] if roles.permits(ANONYMOUS, cmd)]
    wanted = [cmd for cmd in COMMANDS if cmd in VIEW]
    if role == "operate":
        wanted = [cmd for cmd in COMMANDS if cmd not in ADMIN]
    if role == "admin":
        wanted = [*COMMANDS]
    assert permitted == (wanted if role == "view" else [*wanted, *own])


def test_a_set_of_commands_permits_these_alone() -> None:
    roles = table({"GET", "STOP", "MINE"})
    assert [cmd for cmd in (*COMMANDS, "MINE", "OTHER") if roles.permits(ANONYMOUS, cmd)] == [
        "GET",
        "STOP",
        "MINE",
    ]
    assert not any(roles.permits(ANONYMOUS, cmd) for cmd in (None, 7, ["GET"], {"GET": 1}, ""))
    assert roles.for_table()["other"] & 1 << ANONYMOUS == 0


def number(roles: RoleTable, role: Any) -> int:
    found = roles.number_of(checked_role(role))
    assert found is not None
    return found


def test_roles_have_their_numbers_for_ever() -> None:
    given = ["view", {"GET"}, ["GET"], "admin", ("PING", "GET")]
    first = table("view", *given)
    numbers = [number(first, role) for role in given]
    assert ANONYMOUS not in numbers
    assert numbers[1] == numbers[2]
    assert len(set(numbers)) == 4
    second = table("admin", {"SET"}, {"GET", "PING"}, before=first)
    assert number(second, {"GET"}) == numbers[1]
    assert number(second, ("GET", "PING")) == numbers[4]
    assert number(second, {"SET"}) not in numbers
    assert second.permits(numbers[3], "STOP")
    assert not second.permits(numbers[0], "SET")
    assert second.permits(ANONYMOUS, "STOP")
    assert not first.permits(ANONYMOUS, "STOP")
    mask = second.mask("SET")
    for each, name in enumerate(second.names()):
        assert (mask >> each & 1 == 1) == second.permits(each, "SET"), name
    assert second.names()[:4] == ["anonymous", *ROLES]
    assert not second.permits(MAX_ROLES - 1, "PING")


def test_there_are_no_more_roles_than_numbers() -> None:
    """Who gets none is not served; everything else counts."""
    sets = [{f"C{each}"} for each in range(MAX_ROLES - 4)]
    roles = table(None, *sets)
    assert {number(roles, role) for role in sets} == set(range(4, MAX_ROLES))
    full = table("view", {"ONE MORE"}, sets[0], before=roles)
    assert full.number_of(frozenset({"ONE MORE"})) is None
    assert number(full, sets[0]) == number(roles, sets[0])
    assert full.permits(ANONYMOUS, "GET")


@pytest.mark.transports("tcp")
def test_too_many_roles_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    sets = [{f"C{each}"} for each in range(MAX_ROLES - 3)]
    with pytest.raises(ValueError, match=f"{MAX_ROLES - 1} different roles"):
        make(security=secured(None, {new_pair().public: role for role in sets}))
    security = secured("view", {new_pair().public: role for role in sets[:-1]})
    with serving(security=security) as server:
        with pytest.raises(ValueError, match="does not serve one more: give several keys"):
            security.allow(new_pair().public, sets[-1], name="one more")
        # What else is changed counts all the same.
        with pytest.raises(ValueError, match="does not serve one more"):
            security.allow_anonymous("operate")
        assert ask(server, "SET", PAYLOAD)["error_msg"] is None
        security.revoke("one more")
        security.allow_anonymous("view")
        assert ask(server, "SET", PAYLOAD)["error_msg"] == denial("SET")


@pytest.mark.transports("tcp")
def test_what_is_permitted_but_not_there() -> None:
    with serving(security=secured({"PING", "LATER"})) as server:
        assert ask(server, "LATER")["error_msg"] == "Unknown command"
        assert "not permitted" in ask(server, "NEVER")["error_msg"]
        server.register_handler("LATER", lambda *_: {"now": True})
        assert ask(server, "LATER")["payload"] == {"now": True}
        server._handlers.pop("LATER")
        assert ask(server, "LATER")["error_msg"] == "Unknown command"


@pytest.mark.transports("tcp")
@pytest.mark.parametrize("security", ["view", {"key": "view"}, 3, ServerSecurity, secured().rights])
def test_what_is_no_security_is_refused(security: Any) -> None:
    with pytest.raises(TypeError, match="'security' must be a ServerSecurity or None") as raised:
        make(security=security)
    assert repr(security) not in str(raised.value), "it might be a secret key"


@pytest.mark.transports("tcp")
def test_without_libsodium_there_is_no_security(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPLACE_LIBSODIUM", "/nowhere/libsodium.so")
    with pytest.raises(ImportError, match=r"cannot use the libsodium .* or unset it"):
        make(security=secured("view"))
    make().stop()


@pytest.mark.transports
def test_libzmq_is_served_without_security(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ValueError, match=r"^libzmq is served without keys\. To keep 'security', .*transport='tcp'"
    ):
        make(security=secured("admin"), transport="libzmq")
    monkeypatch.setenv("LAPLACE_TRANSPORT", "libzmq")
    with pytest.raises(ValueError, match="LAPLACE_TRANSPORT"):
        make(security=secured("admin"))
    make(transport="libzmq").stop()


LOOPBACK = ["tcp://127.0.0.1:5", "tcp://127.8.0.1:5", "tcp://[::1]:5"]
BEYOND = [
    "tcp://0.0.0.0:5",
    "tcp://[::]:5",
    "tcp://10.0.0.1:5",
    "tcp://[fe80::1%eth0]:5",
    "tcp://x:5",
]


def test_what_is_loopback() -> None:
    assert [each for each in LOOPBACK + BEYOND if is_loopback(each)] == LOOPBACK


def test_a_server_for_others_says_that_it_has_no_security(
    caplog: pytest.LogCaptureFixture, transport: str
) -> None:
    with caplog.at_level(logging.INFO, LOGGER_NAME):
        with serving("tcp://127.0.0.1:*"):
            pass
        assert not logged(caplog, level=logging.WARNING)
        if transport == "tcp":
            with serving("tcp://*:*", security=secured("view")):
                pass
            assert not logged(caplog, level=logging.WARNING)
        with serving("tcp://*:*") as server:
            where = f"tcp://*:{server.server_port}"
    (line,) = logged(caplog, level=logging.WARNING)
    assert "no security" in line
    assert f"Whoever reaches {where} may" in line  # as it was written
    for each in ("'security'", "'laplace-server serve' or 'record' --keys", "docs/security.md"):
        assert each in line


@pytest.mark.transports("tcp")
@pytest.mark.parametrize(
    ("role", "warned"),
    [("operate", True), ("admin", True), ({"GET", "SET"}, True), ({"GET", "PING"}, False)],
)
def test_a_server_that_others_may_change_without_a_key_says_so(
    caplog: pytest.LogCaptureFixture, role: Any, warned: bool
) -> None:
    with caplog.at_level(logging.INFO, LOGGER_NAME):
        with serving("tcp://127.0.0.1:*", security=secured(role)):
            pass
        assert not logged(caplog, level=logging.WARNING)
        with serving("tcp://*:*", security=secured(role)):
            pass
    told = f"may, without a key, do what the role '{words_of(checked_role(role))}' may"
    assert len(logged(caplog, told)) == len(logged(caplog, level=logging.WARNING)) == warned
