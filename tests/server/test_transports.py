"""Which transport a server has, and the limits of its connections as arguments."""

from __future__ import annotations

import dataclasses
import logging
import re
from typing import Any

import pytest
from support.paths import CHECKOUT
from support.serving import MakeServer

from laplace_server.protocol import LOGGER_NAME
from laplace_server.server import _core, transports
from laplace_server.stats import ErrorKind, Refusal, ServerStats

pytestmark = pytest.mark.transports()

VARIABLE = "LAPLACE_TRANSPORT"
OF_TCP_ONLY = {
    "max_message_frames": 131072,
    "max_connections": 16384,
    "max_connections_per_address": 10,
    "handshake_timeout_ms": 10_000,
}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each core is made with."""
    seen: list[dict[str, Any]] = []
    made = _core.Core

    def make(**arguments: Any) -> _core.Core:
        seen.append(arguments)
        return made(**arguments)

    monkeypatch.setattr(_core, "Core", make)
    return seen


@pytest.mark.parametrize(
    ("argument", "variable", "wanted"),
    [
        (None, None, "tcp"),
        (None, "", "tcp"),
        (None, "tcp", "tcp"),
        (None, "libzmq", "libzmq"),
        ("tcp", "libzmq", "tcp"),
        ("libzmq", "tcp", "libzmq"),
        ("libzmq", "nonsense", "libzmq"),
    ],
)
def test_the_argument_counts_then_the_environment(
    make_server: MakeServer,
    monkeypatch: pytest.MonkeyPatch,
    settings: list[dict[str, Any]],
    argument: str | None,
    variable: str | None,
    wanted: str,
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(VARIABLE, variable)
    assert make_server(transport=argument).transport == wanted
    assert [each["transport"] for each in settings] == [_core.TransportKind[wanted.upper()]]


def test_an_unknown_transport_in_the_environment(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "TCP")
    with pytest.raises(ValueError, match="LAPLACE_TRANSPORT must be 'tcp' or 'libzmq', not 'TCP'"):
        make_server()


@pytest.mark.parametrize("by_environment", [False, True], ids=["argument", "environment"])
@pytest.mark.parametrize("name", OF_TCP_ONLY)
def test_a_limit_that_libzmq_cannot_keep(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch, name: str, by_environment: bool
) -> None:
    """Also where it is what the default is: whoever gives it wants it kept."""
    arguments: dict[str, Any] = {name: OF_TCP_ONLY[name]}
    monkeypatch.setenv(VARIABLE, "libzmq" if by_environment else "tcp")
    if not by_environment:
        arguments["transport"] = "libzmq"
    with pytest.raises(ValueError, match=f"'{name}'.*transport='tcp'.*{VARIABLE}"):
        make_server(**arguments)


def test_limits_that_libzmq_keeps(make_server: MakeServer, settings: list[dict[str, Any]]) -> None:
    kept = {
        "max_message_bytes": 1000,
        "max_waiting_bytes": 2000,
        "max_subscriptions_per_connection": 3000,
    }
    make_server(transport="libzmq", **kept)
    assert {name: settings[0][name] for name in kept} == kept


def test_the_core_gets_the_limits(make_server: MakeServer, settings: list[dict[str, Any]]) -> None:
    defaults = {
        "max_message_bytes": 64 << 20,
        "max_message_frames": 131072,
        "max_waiting_bytes": 16 << 20,
        "max_connections": 16384,
        "max_connections_per_address": 0,
        "max_subscriptions_per_connection": 256,
        "handshake_timeout_ms": 10_000,
    }
    given = {name: 100 + number for number, name in enumerate(defaults)}
    make_server(transport="tcp")
    make_server(transport="tcp", **given)
    assert {name: settings[0][name] for name in defaults} == defaults
    assert {name: settings[1][name] for name in given} == given


def test_the_document_lists_all_limits_and_reasons() -> None:
    text = (CHECKOUT / "docs" / "transport.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    limits = [row for row in rows if row.startswith(("| `max_", "| `handshake"))]
    named = {re.findall(r"`(\w+)`", row)[0]: "(tcp only)" in row for row in limits}
    known = ["max_message_bytes", "max_waiting_bytes", "max_subscriptions_per_connection"]
    assert named == dict.fromkeys(known, False) | dict.fromkeys(OF_TCP_ONLY, True)
    cells = " ".join(row.split("|")[1] for row in rows)
    kinds = {kind.name for kind in ErrorKind if kind is not ErrorKind.NONE}
    fields = {field.name for field in dataclasses.fields(ServerStats)}
    named_there = set(re.findall(r"`(\w+)`", cells))
    assert {reason.name for reason in Refusal} | kinds | fields <= named_there


# ---- the log


def test_every_refusal_is_told(caplog: pytest.LogCaptureFixture) -> None:
    limits = transports.checked_limits(
        "tcp",
        max_message_bytes=1001,
        max_message_frames=1002,
        max_waiting_bytes=1003,
        max_connections=1004,
        max_connections_per_address=1005,
        handshake_timeout_ms=1006,
    )
    texts = {}
    with caplog.at_level(logging.WARNING, LOGGER_NAME):
        for reason in Refusal:
            caplog.clear()
            transports.log_refusal("stage", limits, reason, "10.0.0.3:51234", 0, b"k" * 32)
            (record,) = caplog.records
            assert (record.name, record.levelno) == (LOGGER_NAME, logging.WARNING)
            texts[reason] = record.getMessage()
    assert len(set(texts.values())) == len(Refusal)
    for reason, text in texts.items():
        assert text.startswith("[Server stage] "), reason
        assert " of 10.0.0.3:51234: " in text, reason
        assert "more such" not in text, reason
    numbers = {
        Refusal.MESSAGE_SIZE: "max_message_bytes (1001)",
        Refusal.MESSAGE_FRAMES: "max_message_frames (1002)",
        Refusal.ROUTE_SIZE: "half of max_waiting_bytes (1003",
        Refusal.CONNECTIONS: "max_connections (1004)",
        Refusal.DISPLACED: "max_connections (1004)",
        Refusal.ADDRESS: "max_connections_per_address (1005)",
        Refusal.HANDSHAKE_TIMEOUT: "handshake_timeout_ms (1006)",
    }
    for reason, part in numbers.items():
        assert part in texts[reason]


def test_those_in_between_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    limits = transports.checked_limits("tcp", max_message_bytes=67108864)
    with caplog.at_level(logging.WARNING, LOGGER_NAME):
        transports.log_refusal("stage", limits, Refusal.MESSAGE_SIZE, "[::1]:51234", 12, b"")
    assert caplog.messages == [
        "[Server stage] Closed the connection of [::1]:51234: a message larger than "
        "max_message_bytes (67108864). Send less, or make the server with more; "
        "12 more such since the last line."
    ]
