"""The way to NATS: one connection, without any of nats-py's reconnecting.

After a break nobody knows what was stored, so whoever used the connection begins anew with the
next one, and asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from laplace_server.relay.way import Way, checked_credentials
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

BROKEN = "the connection to NATS broke"

_HEADERS_BYTES = 1024  # more than they ever take

NOT_FOUND = {10037, 10059}  # no message, no stream
_IN_USE = 10058  # that name, by a stream that is not the same in all
_NOT_AVAILABLE = 10008  # as of a server that finds no leader
_NO_JETSTREAM = "JetStream is not enabled there, or not for this account"
_NO_DOMAIN = (
    "nobody answers for JetStream's domain {!r}: no server has it, or the line to it is down"
)
SILENT = "NATS has not answered, or nothing there speaks NATS"
_NO_NATS = "nothing there that speaks NATS has answered"


class EngineError(Exception):
    """NATS or JetStream cannot do it now; the text says why."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code
        """JetStream's ``err_code``; 0 for what is none of its errors."""


class NoAnswer(EngineError):
    """This NATS server does not do it; another one of its cluster may."""


class NatsConnection:
    """A connection that is open, until it breaks or is closed. For one event loop."""

    def __init__(
        self, client: NatsClient, url: str, closed: asyncio.Event, domain: str | None
    ) -> None:
        self.client = client
        self.url = url
        self.closed = closed
        """Set once it has broken."""
        self._nobody = _NO_JETSTREAM if domain is None else _NO_DOMAIN.format(domain)
        self.api = "$JS.API" if domain is None else f"$JS.{domain}.API"
        """What the subjects of JetStream's API begin with."""

    @property
    def most_bytes(self) -> int:
        """Of a message, its headers included."""
        return int(self.client.max_payload)

    @property
    def most_body_bytes(self) -> int:
        """Of a message of a relay, without its headers."""
        return self.most_bytes - _HEADERS_BYTES

    async def ask(self, api: str, **arguments: Any) -> dict[str, Any]:
        """Ask JetStream's API, such as ``STREAM.INFO.name``.

        Raises:
            EngineError: it answers with an error, or not.
        """
        body = json.dumps(arguments).encode() if arguments else b""
        return await self._answer(f"{self.api}.{api}", body, self._nobody)

    async def make_stream(self, name: str, **config: Any) -> None:
        """Have JetStream make a stream, unless somebody else does just now.

        Raises:
            EngineError: it does not.
        """
        try:
            await self.ask(f"STREAM.CREATE.{name}", name=name, **config)
        except EngineError as error:
            if error.code != _IN_USE:
                raise

    async def store(self, subject: str, body: bytes) -> None:
        """Have a message stored in the stream that has this subject.

        Raises:
            EngineError: it is not.
        """
        await self._answer(subject, body, "there is no such stream in JetStream")

    async def _answer(self, subject: str, body: bytes, nobody: str) -> dict[str, Any]:
        try:
            message = await self.client.request(subject, body, timeout=ANSWER_S)
        except nats.errors.NoRespondersError:
            raise NoAnswer(nobody) from None
        except (nats.errors.Error, asyncio.TimeoutError, OSError) as error:
            raise NoAnswer(f"JetStream does not answer ({_words(error)})") from None
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
    """Connect to the first of the URLs that answers, in their order.

    Args:
        name: what NATS shows of the connection.

    Raises:
        EngineError: none does.
    """
    problem = None
    for url in way.urls:
        try:
            return await _connect_to(url, way, name)
        except EngineError as error:
            problem = error
    assert problem is not None
    raise problem


async def _connect_to(url: str, way: Way, name: str) -> NatsConnection:
    client, closed = NatsClient(), asyncio.Event()
    connection = NatsConnection(client, url, closed, way.domain)
    problems: list[Exception] = []

    async def note(error: Exception) -> None:
        problems.append(error)
        del problems[:-1]

    async def note_end() -> None:
        closed.set()

    try:
        credentials = checked_credentials(way.credentials)  # the file may have changed
        await client.connect(
            [url],
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
        await connection.close()
        why = problems[-1] if problems else error
        silent = isinstance(why, (nats.errors.TimeoutError, asyncio.TimeoutError))
        words = _NO_NATS if silent else _words(why)
        raise EngineError(f"no connection to NATS ({words})") from None
    except asyncio.CancelledError:
        await connection.close()
        raise
    return connection


def error_of(error: dict[str, Any]) -> EngineError:
    """Return the error that JetStream tells of."""
    code = int(error.get("err_code", 0))
    kind = NoAnswer if code == _NOT_AVAILABLE else EngineError
    return kind(f"JetStream says: {error.get('description')}", code)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
