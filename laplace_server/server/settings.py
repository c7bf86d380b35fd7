"""What a ServerLHC is made with, beside what 0.2.0 has: checked, and as the engine takes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from laplace_server.security.server import ServerSecurity
from laplace_server.server import _core, transports
from laplace_server.server.access import Access
from laplace_server.server.described import Described
from laplace_server.server.real_time import real_time_permitted
from laplace_server.wire.whole_numbers import INT_MAX, whole_number


def checked_settings(
    name: str,
    *,
    accepted_versions: Iterable[str],
    transport: str | None,
    max_message_bytes: int,
    max_message_frames: int | None,
    max_waiting_bytes: int | None,
    max_connections: int | None,
    max_connections_per_address: int | None,
    max_subscriptions_per_connection: int | None,
    handshake_timeout_ms: int | None,
    refresh_timeout_ms: int,
    spin_us: int,
    real_time: bool,
    remote_stop: bool,
    stream_history_bytes: int,
    callback_errors: str,
    security: ServerSecurity | None,
    describe: Any,
    check_limits: bool,
    when_moving: str,
) -> dict[str, Any]:
    """Return them as arguments of the engine. ``name`` is the server's, for the log.

    Raises:
        TypeError, ValueError: one is wrong.
        ImportError: there is no libsodium, which ``security`` needs.
    """
    if callback_errors not in ("log", "reply"):
        raise ValueError(f"'callback_errors' must be 'log' or 'reply', not {callback_errors!r}.")
    chosen = transports.chosen(transport)
    limits = transports.checked_limits(
        chosen,
        max_message_bytes=max_message_bytes,
        max_message_frames=max_message_frames,
        max_waiting_bytes=max_waiting_bytes,
        max_connections=max_connections,
        max_connections_per_address=max_connections_per_address,
        max_subscriptions_per_connection=max_subscriptions_per_connection,
        handshake_timeout_ms=handshake_timeout_ms,
    )
    return {
        "accepted_versions": _checked_versions(accepted_versions),
        "transport": chosen,
        "limits": limits,
        "refresh_timeout_ms": whole_number("refresh_timeout_ms", refresh_timeout_ms, 0, INT_MAX),
        "spin_us": whole_number("spin_us", spin_us, 0, 1000),
        "real_time": bool(real_time) and real_time_permitted(name),
        "remote_stop": remote_stop,
        "stream_history_bytes": whole_number("stream_history_bytes", stream_history_bytes, 0),
        "access": _checked_access(security, chosen),
        "replies_failures": callback_errors == "reply",
        "described": Described(describe, check_limits, when_moving),
    }


def _checked_access(security: Any, transport: transports.Transport) -> Access:
    if security is None:
        return Access(None)
    if not isinstance(security, ServerSecurity):
        # What it is does not show: it might be a secret key.
        kind = type(security).__name__
        raise TypeError(f"'security' must be a ServerSecurity or None, not {kind}.")
    if transport != "tcp":
        raise ValueError(
            "libzmq is served without keys. To keep 'security', serve with transport='tcp' "
            f"({transports.ENVIRONMENT_VARIABLE} is the default of that)."
        )
    from laplace_server.wire import libsodium  # nobody else has to find one

    libsodium.load(_core.load_sodium)  # never left out silently
    return Access(security)


def _checked_versions(versions: Iterable[str]) -> tuple[str, ...]:
    if isinstance(versions, str):
        versions = (versions,)
    checked = tuple(versions)
    if not checked or not all(isinstance(version, str) and version for version in checked):
        raise ValueError(f"'accepted_versions' must be non-empty strings, got {checked!r}.")
    return checked
