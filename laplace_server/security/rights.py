"""Who may do what at one moment, and what a change of it means. Values that never change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from laplace_server.security.keys import NotPickled, SecretKey
from laplace_server.security.roles import NAME_OF_ANONYMOUS, Role, words_of


@dataclass(frozen=True)
class AllowedKey:
    """A client that a server knows."""

    public_key: str
    role: Role
    name: str
    """What the log calls it: of a file, its name."""
    role_name: str | None = None
    """What a folder calls a role of one's own; None: the role has no name but its commands."""

    def words(self) -> str:
        """Return what it may do as people read it."""
        return self.role_name or words_of(self.role)


@dataclass(frozen=True)
class Rights(NotPickled):
    """A server's own key, and whom it serves."""

    secret_key: SecretKey
    public_key: str
    keys: Mapping[str, AllowedKey]
    """By public key."""
    anonymous: Role | None
    """The role of who has no key; None: they are refused."""


@dataclass(frozen=True)
class Change(NotPickled):
    """What an observer of a ServerSecurity is told."""

    before: Rights
    after: Rights

    @property
    def removed(self) -> frozenset[str]:
        """The public keys that are allowed no more: their connections have to be closed."""
        return frozenset(self.before.keys.keys() - self.after.keys.keys())

    @property
    def other_role(self) -> frozenset[str]:
        """The public keys that may do something else than before."""
        before, after = self.before.keys, self.after.keys
        both = before.keys() & after.keys()
        return frozenset(key for key in both if before[key].role != after[key].role)

    @property
    def rotated(self) -> bool:
        """Whether the server has another key of its own: new connections have to know it."""
        return self.before.secret_key != self.after.secret_key


def shown_name(public_key: str) -> str:
    """Return what to call a key that came without a name."""
    return f"key {public_key[:8]}..."


def add(keys: dict[str, AllowedKey], key: AllowedKey, own: tuple[str, str] | None) -> None:
    """Add a key to those that are allowed.

    Args:
        own: the server's own keys as text, the secret and the public one; None: they are not known.

    Raises:
        ValueError: it or its name is there already, or it is the server's own.
    """
    if own is not None and key.public_key in own:
        what = "secret key where a public one is meant" if key.public_key == own[0] else "own key"
        raise ValueError(f"{key.name!r} is the server's {what}: it is no client's.")
    if key.name == NAME_OF_ANONYMOUS:
        raise ValueError(f"No key is called {key.name!r}: the log calls those so who have none.")
    if key.public_key in keys:
        other = keys[key.public_key]
        raise ValueError(
            f"{key.name!r} is the key that is allowed as {other.name!r} already "
            f"({other.words()}); a key has one role."
        )
    if any(key.name == other.name for other in keys.values()):
        raise ValueError(f"Two keys have the name {key.name!r}: the log could not tell them apart.")
    keys[key.public_key] = key
