"""How to get to NATS, out of what a user tells."""

from __future__ import annotations

import os
import random
import re
import ssl
from typing import Any, NamedTuple

from laplace_server.wire.extras import how_to_install

_IN_CREDENTIALS = (b"BEGIN NATS USER JWT", b"BEGIN USER NKEY SEED")


class Way(NamedTuple):
    """How to get to NATS."""

    urls: tuple[str, ...]
    credentials: str | None = None
    """A file that ``nsc`` or ``nk`` made."""
    tls: ssl.SSLContext | None = None
    domain: str | None = None
    """Of JetStream; None: that of the server that is connected to."""

    def in_any_order(self) -> Way:
        """Return the same with its URLs in some other order."""
        return self._replace(urls=tuple(random.sample(self.urls, len(self.urls))))

    def after(self, url: str) -> Way:
        """Return the same with one of its URLs behind all others."""
        return self._replace(urls=(*(each for each in self.urls if each != url), url))


def way_of(
    nats_url: Any,
    credentials: str | os.PathLike[str] | None,
    tls: ssl.SSLContext | None,
    domain: Any,
) -> Way:
    """Return the way that the arguments of a user tell.

    Raises:
        TypeError, ValueError: an argument is wrong.
        ImportError: what it takes is not installed.
    """
    return Way(urls_of(nats_url), checked_credentials(credentials), tls, _checked_domain(domain))


def urls_of(nats_url: Any) -> tuple[str, ...]:
    """Return the URLs in a text, with commas between several of one cluster.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not isinstance(nats_url, str):
        raise TypeError(f"'nats_url' must be str, not {nats_url!r}.")
    urls = tuple(each.strip() for each in nats_url.split(","))
    for url in urls:
        scheme, _, host = url.partition("://")
        if scheme not in ("nats", "tls") or not host or "/" in host.removesuffix("/"):
            raise ValueError(
                f"'nats_url' must be nats://HOST:PORT or tls://HOST:PORT, several of a cluster "
                f"with commas between, not {nats_url!r}."
            )
    return urls


def checked_credentials(path: str | os.PathLike[str] | None) -> str | None:
    """Return the path of a file with credentials; None: none is given.

    Raises:
        ValueError: it cannot be read, or holds no credentials.
        ImportError: what reads it is not installed.
    """
    if path is None:
        return None
    try:
        import nkeys  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Credentials for NATS take nkeys, which cannot be imported ({error}). "
            f"{how_to_install('nats')}",
            name=error.name,
        ) from None
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise ValueError(f"the credentials for NATS cannot be read: {error}") from None
    # nats-py would look for these lines for ever.
    if not all(each in text for each in _IN_CREDENTIALS):
        raise ValueError(f"{os.fspath(path)!r} has no credentials for NATS (.creds) in it.")
    return os.fspath(path)


def _checked_domain(domain: Any) -> str | None:
    if domain is None:
        return None
    if not isinstance(domain, str):
        raise TypeError(f"'domain' must be str or None, not {domain!r}.")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", domain):
        raise ValueError(f"'domain' must be letters, digits, _ and -, not {domain!r}.")
    return domain


def without_secrets(nats_url: str) -> str:
    """Return a URL for people and logs, without user, password or token."""
    shown = []
    for url in urls_of(nats_url):
        scheme, _, rest = url.partition("://")
        shown.append(f"{scheme}://{rest.rpartition('@')[2]}")
    return ",".join(shown)
