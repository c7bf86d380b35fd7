"""Which transport a server has, the limits of its connections, and what is logged beyond them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Literal, cast

from zmq.utils import z85

from laplace_server.protocol import LOGGER_NAME
from laplace_server.security.rights import shown_name
from laplace_server.server._core import Refusal
from laplace_server.wire.logs import Log
from laplace_server.wire.whole_numbers import INT_MAX, whole_number

log = Log(LOGGER_NAME)

Transport = Literal["tcp", "libzmq"]

ENVIRONMENT_VARIABLE = "LAPLACE_TRANSPORT"
_KNOWN = ("tcp", "libzmq")

# What a limit is where it is None, and from where to where it goes. 0 connections from one address
# are no limit, to the core.
_DEFAULTS = {
    "max_message_frames": 131072,
    "max_waiting_bytes": 16 << 20,
    "max_connections": 16384,
    "max_connections_per_address": 0,
    "max_subscriptions_per_connection": 256,
    "handshake_timeout_ms": 10_000,
}
# An empty frame and the request: what every request has.
_LEAST = {"max_message_frames": 2}
_MOST = {"max_message_bytes": sys.maxsize, "max_waiting_bytes": sys.maxsize}
_OR_ELSE = {"max_message_bytes": -1}  # no limit
KEPT_BY_LIBZMQ = ("max_message_bytes", "max_waiting_bytes", "max_subscriptions_per_connection")


def chosen(transport: str | None, environment: Mapping[str, str] = os.environ) -> Transport:
    """Return the transport asked for, by argument or by the environment.

    Raises:
        ValueError: there is no such transport.
    """
    if transport is not None:
        if transport not in _KNOWN:
            raise ValueError(f"'transport' must be 'tcp', 'libzmq' or None, not {transport!r}.")
        return cast(Transport, transport)
    named = environment.get(ENVIRONMENT_VARIABLE) or "tcp"
    if named not in _KNOWN:
        raise ValueError(
            f"the environment variable {ENVIRONMENT_VARIABLE} must be 'tcp' or 'libzmq', "
            f"not {named!r}. Unset it, or give the argument 'transport'."
        )
    return cast(Transport, named)


def checked_limits(transport: Transport, **given: int | None) -> dict[str, int]:
    """Return the limits, with the default of each that is None.

    Raises:
        TypeError: one is no int.
        ValueError: one is out of its range, or libzmq cannot keep it.
    """
    limits = {}
    for name, value in given.items():
        if value is None and name in _DEFAULTS:
            limits[name] = _DEFAULTS[name]
            continue
        least, most, or_else = _LEAST.get(name, 1), _MOST.get(name, INT_MAX), _OR_ELSE.get(name)
        limits[name] = whole_number(name, value, least, most, or_else=or_else)
        if transport == "libzmq" and name not in KEPT_BY_LIBZMQ:
            raise ValueError(
                f"libzmq cannot keep '{name}'. Leave the argument out, or serve with "
                f"transport='tcp' ({ENVIRONMENT_VARIABLE} is the default of that)."
            )
    return limits


# By reason: what happened to the connection, and why, in words for the log.
_CLOSED = "Closed the connection of"
_REFUSED = "Refused a connection of"
_TEXTS = {
    Refusal.NOT_ZMTP: (
        _CLOSED,
        "it does not speak ZeroMQ (a web browser, a port scanner, or libzmq 2?)",
    ),
    Refusal.ZMTP_VERSION: (
        _CLOSED,
        "it speaks ZMTP 2. Give that program libzmq 4.0 or later, or its like",
    ),
    Refusal.MECHANISM: (
        _CLOSED,
        "it wants a security mechanism that this server has not: PLAIN or GSSAPI, or CURVE where "
        "the server has no keys. Connect without, or give the server 'security'",
    ),
    Refusal.SOCKET_TYPE: (_CLOSED, "its socket is neither REQ nor DEALER nor ROUTER"),
    Refusal.MALFORMED: (_CLOSED, "what it sends breaks the rules of ZMTP"),
    Refusal.HANDSHAKE_TIMEOUT: (
        _CLOSED,
        "no handshake within handshake_timeout_ms ({handshake_timeout_ms})",
    ),
    Refusal.MESSAGE_SIZE: (
        _CLOSED,
        "a message larger than max_message_bytes ({max_message_bytes}). "
        "Send less, or make the server with more",
    ),
    Refusal.MESSAGE_FRAMES: (
        _CLOSED,
        "a message of more frames than max_message_frames ({max_message_frames}). "
        "Send fewer, or make the server with more",
    ),
    Refusal.ROUTE_SIZE: (
        _CLOSED,
        "routing frames of more bytes than half of max_waiting_bytes "
        "({max_waiting_bytes}, and 65536 at least). "
        "Send shorter ones, or make the server with more",
    ),
    Refusal.CONNECTIONS: (
        _REFUSED,
        "there are max_connections ({max_connections}). Close some, or make the server with more",
    ),
    Refusal.ADDRESS: (
        _REFUSED,
        "its address has max_connections_per_address ({max_connections_per_address}). "
        "Close some, or make the server with more",
    ),
    Refusal.DISPLACED: (
        _CLOSED,
        "it had never asked anything, and made room for another one: there are max_connections "
        "({max_connections}), or no file descriptors are left (ulimit -n)",
    ),
    Refusal.HEARTBEAT: (
        _CLOSED,
        "it was silent for longer than the time to live it had given itself",
    ),
    Refusal.NO_MEMORY: (_CLOSED, "there is no memory for what it sends"),
    Refusal.ANONYMOUS: (
        _CLOSED,
        "it has no key, and this server's security gives those without one no role. Give that "
        "program a key, or 'anonymous' a role",
    ),
    Refusal.WITHDRAWN: (_CLOSED, "what it was permitted has been taken away"),
    Refusal.UNKNOWN_KEY: (
        _CLOSED,
        "its {key} is none that this server serves. Allow it (laplace-server keys allow), or give "
        "that program another one",
    ),
    Refusal.WRONG_SERVER_KEY: (
        _CLOSED,
        "it expects a server with another key. Give that program this server's public key",
    ),
    Refusal.NOT_AUTHENTIC: (
        _CLOSED,
        "what it sends was not made with its keys, or has been changed or repeated on the way",
    ),
}


def log_refusal(
    server: str, limits: Mapping[str, int], reason: Refusal, address: str, more: int, key: bytes
) -> None:
    """Log that a connection was refused or closed, and how many others were since the last time.

    Args:
        key: its public one, where that is why.
    """
    what, why = _TEXTS[reason]
    since = f"; {more} more such since the last line" if more else ""
    why = why.format(**limits, key=shown_name(z85.encode(key).decode()))
    log.warning("[Server %s] %s %s: %s%s.", server, what, address, why, since)
