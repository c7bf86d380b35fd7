"""The limits that docs/security.md tells: all of them, and as they are in the code."""

from __future__ import annotations

import inspect
import re

from support.paths import CHECKOUT

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.security import files
from laplace_server.server._core import MAX_COMMANDS, MAX_ROLES, MAX_SUBSCRIPTIONS
from laplace_server.server.binding import LIMITS
from laplace_server.server.transports import KEPT_BY_LIBZMQ, checked_limits

PAGE = (CHECKOUT / "docs" / "security.md").read_text(encoding="utf-8")


def limits_told() -> dict[str, list[str]]:
    """By name: the default, what changes it, what a peer sees."""
    section = PAGE[PAGE.index("## Limits") : PAGE.index("## What it costs")]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    told = {name: cells for name, *cells in rows[1:]}
    assert len(told) == len(rows) - 1, "a limit stands there twice"
    return {name: cells for name, cells in told.items() if not name.startswith("**")}


def source(file: str) -> str:
    return (CHECKOUT / "csrc" / file).read_text(encoding="utf-8")


def native(file: str, name: str) -> int:
    """The number that a constant of the native sources begins with."""
    found = re.search(rf"\b{name} = (\d+)", source(file))
    assert found is not None, (file, name)
    return int(found[1])


def bytes_of(value: int) -> str:
    return f"{value >> 20} MiB" if value >= 1 << 20 else f"{value >> 10} KiB"


def count_and_bytes(of: str) -> str:
    return f"{LIMITS[of]:,}, and {bytes_of(LIMITS[of + '_bytes'])}"


def limits_of_the_code() -> dict[str, str]:
    """The default of each, as the page tells it."""
    arguments = inspect.signature(ServerLHC).parameters
    given = {name: arguments[name].default for name in arguments if name.startswith("max_")}
    given |= {"handshake_timeout_ms": arguments["handshake_timeout_ms"].default}
    default = checked_limits("tcp", **given)
    keepalive = re.search(
        r"Keepalive usual_keepalive\{(\d+), (\d+), (\d+), (\d+)\}", source("tcp/socket.h")
    )
    assert keepalive is not None
    idle, interval, probes, unconfirmed = map(int, keepalive.groups())
    usual_route = native("server/server.cpp", "usual_route_bytes") << 10
    error_read = native("transport/tcp_connections.cpp", "finish_ns")
    block_s = inspect.signature(ServerLHC.declare_stream).parameters["block_timeout_s"].default
    credit = inspect.signature(ClientLHC.subscribe).parameters["credit_bytes"].default
    commands = native("zmtp/conversation.h", "max_handshake_command")
    assert commands == native("zmtp/curve_reader.h", "max_command")
    assert "peer_parked_bytes / 2" in source("server/server.cpp")
    per_minute = LIMITS["refusal_log_ms"] / 60_000
    assert per_minute == 1
    denied = native("requests/denials.h", "most_peers")
    return {
        "connections": f"{default['max_connections']:,}",
        "connections of one address": {0: "none"}[default["max_connections_per_address"]],
        "file descriptors": "the system's",
        "time for the handshake": f"{default['handshake_timeout_ms'] // 1000} s",
        "one command of the handshake": bytes_of(commands),
        "commands of handshakes over CURVE at once": "1",
        "silence of a machine that is gone": f"{idle} s, then {probes} probes {interval} s apart",
        "what was sent and is not confirmed": f"{unconfirmed // 1000} s",
        "silence of who sends heartbeats": "its own `ZMQ_HEARTBEAT_TTL`",
        "bytes of a message": bytes_of(default["max_message_bytes"]),
        "frames of a message": f"{default['max_message_frames']:,}",
        "bytes of its route (frames before the empty one)": (
            f"half of `max_waiting_bytes`, at least {bytes_of(usual_route)}"
        ),
        "requests of one connection that wait": count_and_bytes("peer_pending"),
        "requests that wait in all, for callbacks and for other reasons each": (
            count_and_bytes("pending")
        ),
        "wait for a refresh of live data": f"{arguments['refresh_timeout_ms'].default} ms",
        "what a role permits": "by its key",
        "replies that wait for one connection": bytes_of(default["max_waiting_bytes"]),
        "replies on their way from callbacks to the loop, in all": (
            f"{bytes_of(default['max_waiting_bytes'])} and one"
        ),
        '"Server busy" among them': "half of that",
        "time to read an error reply that ends the connection": f"{error_read // 1000} s",
        "time for replies when the server stops": (
            f"{native('server/config.h', 'flush_ms') / 1000:g} s"
        ),
        "history of a stream": (
            f"{bytes_of(arguments['stream_history_bytes'].default)}, the last update at least"
        ),
        "subscriptions of a server": f"{MAX_SUBSCRIPTIONS:,}",
        "subscriptions of one connection": str(default["max_subscriptions_per_connection"]),
        "bytes of a subscriber's route": bytes_of(
            native("streams/stream_sender.cpp", "longest_route")
        ),
        "updates on their way to one connection": "half of `max_waiting_bytes`",
        "updates on their way to one subscription": f"{bytes_of(credit)} and one update",
        "silence of a subscriber without credit": f"{LIMITS['subscriber_silence_ms'] // 1000} s",
        'time that a publisher waits, policy "block"': f"{block_s:g} s",
        "keys of a server": "none",
        "different roles of a server, in all its life": str(MAX_ROLES - 1),
        "size of a file with a key": bytes_of(files._LARGEST),
        "lines about refused connections": "one a minute for each reason",
        "lines about what roles did not permit": (
            f"one a minute for each address, and for {denied:,} of them"
        ),
        "records of answers at level DEBUG that wait for Python": (
            f"{native('requests/job_queue.h', 'log_limit'):,}"
        ),
        "commands counted by name": str(MAX_COMMANDS - 1),
    }


def test_limits_are_those_of_the_code() -> None:
    assert {name: cells[0] for name, cells in limits_told().items()} == limits_of_the_code()


def test_arguments_that_change_limits() -> None:
    """They are there, and libzmq refuses those that are marked."""
    changed_by = {name: cells[1] for name, cells in limits_told().items()}
    parameters = inspect.signature(ServerLHC).parameters
    for name, cell in changed_by.items():
        for argument in re.findall(r"`((?:max|stream)_\w+|\w+_timeout_ms)`", cell):
            assert argument in parameters, name
            if not argument.startswith("stream") and argument != "refresh_timeout_ms":
                kept = argument in KEPT_BY_LIBZMQ
                assert kept != cell.endswith("*"), name


def test_every_limit_of_a_server_is_listed() -> None:
    changed_by = " ".join(cells[1] for cells in limits_told().values())
    arguments = re.findall(
        r"\b((?:max|stream)_\w+|\w+_timeout_ms)\b",
        " ".join(inspect.signature(ServerLHC).parameters),
    )
    assert len(arguments) == 9
    assert [name for name in arguments if f"`{name}`" not in changed_by] == []
