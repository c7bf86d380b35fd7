"""The way to NATS: one connection, without any of nats-py's reconnecting.

After a break nobody knows what was stored, so whoever used the connection begins anew with the
next one, and asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from typing import Any, NamedTuple

from laplace_server.wire.extras import how_to_install

try:
    import nats
    import nats.errors
    from nats.aio.client import Client as NatsClient
except ImportError as problem:
    raise ImportError(
        "laplace_server.relay needs nats-py, which cannot be imported "
        f"({problem}). {how_to_install('nats')}",
        name=problem.name,
    ) from problem

CONNECT_S = 5.0
ANSWER_S = 5.0  # of JetStream; a cluster that elects a leader takes seconds
CLOSE_S = 0.5  # nothing is waited for; but nats-py waits where a handshake has failed
# A broker that stands still counts as gone after two of these and one more.
PING_S = 5.0

_IN_CREDENTIALS = (b"BEGIN NATS USER JWT", b"BEGIN USER NKEY SEED")
NOT_FOUND = {10037, 10059}  # no message, no stream


class EngineError(Exception):
    """NATS or JetStream cannot do it now; the text says why."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code
        """JetStream's ``err_code``; 0 for what is none of its errors."""


class Way(NamedTuple):
    """How to get to NATS."""

    urls: tuple[str, ...]
    credentials: str | None = None
    """A file that ``nsc`` or ``nk`` made."""
    tls: ssl.SSLContext | None = None


def urls_of(nats_url: Any) -> tuple[str, ...]:
    """Return the URLs in a text, with commas between several of one cluster.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not isinstance(nats_url, str):
        raise TypeError(f"'nats_url' must be str, not {nats_url!r}.")
    urls = tuple(each.strip() for each in nats_url.split(","))
    for url in urls:
        if not url.startswith(("nats://", "tls://")) or len(url) < len("nats://x"):
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


def without_secrets(nats_url: str) -> str:
    """Return a URL for people and logs, without user, password or token."""
    shown = []
    for url in urls_of(nats_url):
        scheme, _, rest = url.partition("://")
        shown.append(f"{scheme}://{rest.rpartition('@')[2]}")
    return ",".join(shown)


class NatsConnection:
    """A connection that is open, until it breaks or is closed. For one event loop."""

    def __init__(self, client: NatsClient, closed: asyncio.Event) -> None:
        self.client = client
        self.closed = closed
        """Set once it has broken."""

    @property
    def most_bytes(self) -> int:
        """Of a message, its headers included."""
        return int(self.client.max_payload)

    async def ask(self, api: str, **arguments: Any) -> dict[str, Any]:
        """Ask JetStream's API, such as ``STREAM.INFO.name``.

        Raises:
            EngineError: it answers with an error, or not.
        """
        body = json.dumps(arguments).encode() if arguments else b""
        try:
            message = await self.client.request(f"$JS.API.{api}", body, timeout=ANSWER_S)
        except nats.errors.NoRespondersError:
            text = "JetStream is not enabled there, or not for this account"
            raise EngineError(text) from None
        except (nats.errors.Error, asyncio.TimeoutError, OSError) as error:
            raise EngineError(f"JetStream does not answer ({_words(error)})") from None
        answer: dict[str, Any] = json.loads(message.data)
        if "error" in answer:
            raise error_of(answer["error"])
        return answer

    async def close(self) -> None:
        """Close it, whatever state it is in, also where whoever waits is cancelled meanwhile."""
        closing = asyncio.ensure_future(self._close())
        cancelled = False
        while not closing.done():
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    async def _close(self) -> None:
        with contextlib.suppress(nats.errors.Error, asyncio.TimeoutError, OSError):
            await asyncio.wait_for(self.client.close(), CLOSE_S)
            return
        # The broker takes nothing more, and nats-py would wait until it does.
        writer = getattr(getattr(self.client, "_transport", None), "_io_writer", None)
        if writer is not None:
            writer.transport.abort()


async def connect(way: Way, name: str) -> NatsConnection:
    """Connect to the first of the URLs that answers.

    Args:
        name: what NATS shows of the connection.

    Raises:
        EngineError: none does.
    """
    client, closed = NatsClient(), asyncio.Event()
    problems: list[Exception] = []

    async def note(error: Exception) -> None:
        problems.append(error)
        del problems[:-1]

    async def note_end() -> None:
        closed.set()

    try:
        credentials = checked_credentials(way.credentials)  # the file may have changed
        await client.connect(
            list(way.urls),
            name=name,
            error_cb=note,
            closed_cb=note_end,
            allow_reconnect=False,
            connect_timeout=CONNECT_S,  # type: ignore[arg-type]
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            ping_interval=PING_S,  # type: ignore[arg-type]
            user_credentials=credentials,
            tls=way.tls,
        )
    except (nats.errors.Error, asyncio.TimeoutError, OSError, ValueError) as error:
        await NatsConnection(client, closed).close()
        why = problems[-1] if problems else error
        raise EngineError(f"no connection to NATS ({_words(why)})") from None
    return NatsConnection(client, closed)


def error_of(error: dict[str, Any]) -> EngineError:
    """Return the error that JetStream tells of."""
    return EngineError(f"JetStream says: {error.get('description')}", int(error.get("err_code", 0)))


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
