"""What the log is told of keys and rights: who is served, what changes, who was denied what."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from laplace_server.protocol import LOGGER_NAME
from laplace_server.security.rights import AllowedKey, Change, Rights
from laplace_server.security.roles import Role, words_of
from laplace_server.server.access import Access
from laplace_server.wire.commands import ROLES, least_role
from laplace_server.wire.logs import Log

log = Log(LOGGER_NAME)

_MOST_TOLD = 20  # changes, in one line


def log_denial(server: str, role: str, caller: str, cmd: Any, address: str, more: int) -> None:
    """Log that a role did not permit a command, and how many others there were of that peer."""
    who = address or "a peer"
    if caller != role:  # whoever has no key has no name either
        who = f"'{caller}' ({who})"
    what = repr(cmd) if cmd else "an unknown command"
    since = f"; {more} more such since the last line" if more else ""
    text = "[Server %s] Not permitted: the role '%s' of %s may not use %s%s."
    log.warning(text, server, role, who, what, since)


def log_removed(server: str, caller: str, cmd: Any, address: str, more: int) -> None:
    """Log that something was not done for a client whose key has been removed."""
    what = repr(cmd) if cmd else "an unknown command"
    since = f"; {more} more such since the last line" if more else ""
    text = "[Server %s] The key of '%s' (%s) was removed, and its %s was not done%s."
    log.warning(text, server, caller, address or "a peer", what, since)


def served(rights: Rights) -> str:
    """Who is served, in words."""
    keys = "1 key" if len(rights.keys) == 1 else f"{len(rights.keys)} keys"
    return f"Its public key is {rights.public_key}; it serves {keys}, and {_others(rights)}."


def log_security(server: str, address: str, endpoint: str, access: Access) -> None:
    """Log whom a server serves, and, where others can reach it, what they may do without a key.

    Args:
        address: as the program has given it.
        endpoint: what was bound.
    """
    rights = access.rights()
    if rights is not None:
        log.info("[Server %s] %s", server, served(rights))
    if is_loopback(endpoint):
        return
    if rights is None:
        log.warning(
            "[Server %s] Whoever reaches %s may read, set and stop everything: it has no security. "
            "Give ServerLHC the argument 'security', or 'laplace-server serve' or 'record' --keys; "
            "docs/security.md shows how.",
            server,
            address,
        )
    elif rights.anonymous is not None and may_change(rights.anonymous):
        log.warning(
            "[Server %s] Whoever reaches %s may, without a key, do what the role '%s' may. When "
            "all clients have keys, serve nobody without ('anonymous').",
            server,
            address,
            words_of(rights.anonymous),
        )


def log_change(server: str, change: Change) -> None:
    """Log what is different in whom a server serves."""
    told = list(_differences(change.before, change.after))
    if len(told) > _MOST_TOLD:
        told[_MOST_TOLD:] = [f"{len(told) - _MOST_TOLD} other changes"]
    if told:
        log.info("[Server %s] Keys have changed: %s.", server, "; ".join(told))


def log_failed_change(server: str, problem: Exception) -> None:
    """Log what is wrong in a folder of keys; what it has changed beside that is logged as ever."""
    text = (
        "[Server %s] Something in the folder of keys is wrong. It does not count, and stays as it "
        "was; all else there counts. %s"
    )
    log.error(text, server, problem)


def log_mended(server: str) -> None:
    """Log that nothing is wrong any more."""
    log.warning("[Server %s] All in the folder of keys is right again, and counts.", server)


def is_loopback(endpoint: str) -> bool:
    """Whether only programs of this machine can connect to what was bound."""
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def may_change(role: Role) -> bool:
    """Whether a role permits more than reading."""
    if isinstance(role, str):
        return role != ROLES[0]
    return any(least_role(cmd) != ROLES[0] for cmd in role)


def _differences(before: Rights, after: Rights) -> Iterable[str]:
    for public_key, key in after.keys.items():
        known = before.keys.get(public_key)
        if known is None:
            yield f"{_named(key)} is new"
        elif known != key:
            yield f"{_named(known)} is {_named(key)} now"
    for public_key, key in before.keys.items():
        if public_key not in after.keys:
            yield f"{_named(key)} is removed"
    if before.anonymous != after.anonymous:
        yield f"besides keys, it serves {_others(after)}"
    if before.secret_key != after.secret_key:
        yield f"its own public key is {after.public_key}"


def _named(key: AllowedKey) -> str:
    return f"'{key.name}' ({key.words()})"


def _others(rights: Rights) -> str:
    if rights.anonymous is None:
        return "nobody else"
    return f"clients without a key ({words_of(rights.anonymous)})"
