"""What a role is."""

from __future__ import annotations

from typing import Any

import pytest

from laplace_server.security import ROLES, ServerSecurity
from laplace_server.security.roles import checked_role, words_of


def test_roles() -> None:
    assert ROLES == ("view", "operate", "admin")
    for role in ROLES:
        assert checked_role(role) == role
        assert words_of(checked_role(role)) == role
    for commands in (
        {"GET", "SCAN"},
        ["SCAN", "GET"],
        ("GET", "SCAN", "GET"),
        {"GET": 1, "SCAN": 2}.keys(),
    ):
        role = checked_role(commands)
        assert role == frozenset({"GET", "SCAN"})
        assert isinstance(role, frozenset)
        assert words_of(role) == "GET, SCAN"


@pytest.mark.parametrize("role", ["View", "", "GET", "root", set(), [], {""}, {"GET", ""}])
def test_what_is_no_role(role: Any) -> None:
    with pytest.raises(ValueError, match=r"role|command"):
        checked_role(role)


@pytest.mark.parametrize("role", [3, None, b"view", {1}, {"GET": "view"}, True])
def test_what_cannot_be_a_role(role: Any) -> None:
    with pytest.raises(
        TypeError, match=r"^A role is text or a set of command names, not|^The name"
    ):
        checked_role(role)


def test_a_wrong_role_is_told_at_the_call(anna: Any, stage: Any) -> None:
    with pytest.raises(
        ValueError, match=r"no role 'wiew': a role is one of 'view', 'operate', 'admin'"
    ):
        ServerSecurity(stage.secret, {anna.public: "wiew"})
    with pytest.raises(ValueError, match="no role 'everything'"):
        ServerSecurity(stage.secret, anonymous="everything")
    security = ServerSecurity(stage.secret)
    with pytest.raises(ValueError, match="no role 'wiew'"):
        security.allow(anna.public, "wiew")
    assert security.allowed == {}
