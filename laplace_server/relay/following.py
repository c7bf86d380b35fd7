"""Follow a stream out of NATS, as from its server."""

from __future__ import annotations

import itertools
import os
import ssl
from typing import Any

from laplace_server.client.asyncio.subscription import AsyncSubscription
from laplace_server.client.ledger import Ledger
from laplace_server.client.names import Place
from laplace_server.client.program_name import program_name
from laplace_server.client.requests import checked_name, seconds_of
from laplace_server.client.starts import Start
from laplace_server.client.subscription import BaseSubscription
from laplace_server.client.subscription_protocol import SubscriptionProtocol
from laplace_server.client.subscription_steps import Connect
from laplace_server.client.sync.subscription import Subscription
from laplace_server.relay.connection import Way, checked_credentials, urls_of, without_secrets
from laplace_server.relay.engine_connection import AsyncEngineConnection, EngineConnection
from laplace_server.relay.engine_reader import EngineStream
from laplace_server.relay.subjects import DEFAULT_PREFIX, DEFAULT_SITE, subject_of

__all__ = ["async_follow", "follow"]

_BEGIN_S = 2.0  # as a client's time-out
_FIND_S = 60.0  # an old number, over a long path
_SILENT = "NATS has not said yet where to begin"


class _EngineProtocol(SubscriptionProtocol):
    """Knows neither names to look up nor a server that is slow to answer."""

    def __init__(self, address: str, name: str, stream: str, **options: Any) -> None:
        super().__init__("tcp://0.0.0.0:0", name, stream, **options)
        self.address = address
        self.place = Place("tcp://0.0.0.0:0")  # a numeric one: nothing is looked up

    def asked(self, question: Connect, now: float) -> None:
        super().asked(question, now)
        question.session.due_at = now + _FIND_S
        question.session.useless = self._trouble or _SILENT  # until this attempt has failed, too

    def _granted_life(self, epoch: int) -> Ledger | None:
        # A life that is over can still be read, and those behind it: what has come is left out.
        return self._of_life(epoch) or self._ledger

    def _is_younger(self, age_s: float) -> bool:
        return False  # the reader sees to that


class _FromEngine(BaseSubscription):
    """What subscriptions out of NATS have in common."""

    _kind: type[EngineConnection] | type[AsyncEngineConnection]
    _connection: Any
    _numbers: itertools.count[int]

    def __init__(self, engine_stream: EngineStream, address: str, **options: Any) -> None:
        self._engine_stream = engine_stream
        super().__init__(
            address, stream=engine_stream.subject.stream, check=lambda: None, **options
        )

    def _new_protocol(self, *arguments: Any, **options: Any) -> SubscriptionProtocol:
        return _EngineProtocol(*arguments, **options)

    def _connect(self, question: Connect | None) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if question is not None:
            followed = self._protocol
            self._connection = self._kind(
                self._engine_stream, question, followed.missing, followed.incoming, self._numbers
            )


class EngineSubscription(_FromEngine, Subscription):
    """A ``Subscription`` that comes out of NATS; made by ``follow``."""

    _kind = EngineConnection


class AsyncEngineSubscription(_FromEngine, AsyncSubscription):
    """An ``AsyncSubscription`` that comes out of NATS; made by ``async_follow``."""

    _kind = AsyncEngineConnection


def follow(
    nats_url: str,
    device: str,
    stream: str,
    *,
    start: Start = "latest",
    site: str = DEFAULT_SITE,
    prefix: str = DEFAULT_PREFIX,
    credit_bytes: int = 16 << 20,
    timeout_s: float | None = None,
    name: str | None = None,
    credentials: str | os.PathLike[str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Subscription:
    """Follow a stream that a relay brings to NATS: a ``Subscription`` as ``ClientLHC.subscribe``
    gives one, with all that JetStream keeps in the place of the server's history.

    Where the stream is not in NATS yet, it waits for it, and has it from its first update on.

    Args:
        nats_url: ``nats://host:port``; of a cluster, several with commas between.
        device: what it is called in NATS: the name of its server, unless the relay was told.
        stream: its name.
        start: as ``ClientLHC.subscribe``; of a position that JetStream does not have any more, all
            that there is comes, and what is missing counts as lost.
        site, prefix: as the relay has them.
        credit_bytes: how much may be on its way, and so in memory here, beside what NATS sends in
            one piece (4 MiB, or two messages).
        timeout_s: raise RequestTimeout where it is not followed within this time, in seconds.
        name: what the program calls itself.
        credentials: a file with the credentials for NATS (.creds).
        tls: for NATS, where it is not what the system trusts.

    Raises:
        RequestTimeout: ``timeout_s`` was given, and it is not followed within that time.
        RemoteError: ``start`` is beyond what was relayed.
        TypeError, ValueError: an argument is none of these.
        ImportError: what it takes is not installed.
    """
    return EngineSubscription(
        **_arguments(nats_url, device, stream, site, prefix, timeout_s, name, credentials, tls),
        start=start,
        credit_bytes=credit_bytes,
    )


def async_follow(
    nats_url: str,
    device: str,
    stream: str,
    *,
    start: Start = "latest",
    site: str = DEFAULT_SITE,
    prefix: str = DEFAULT_PREFIX,
    credit_bytes: int = 16 << 20,
    timeout_s: float | None = None,
    name: str | None = None,
    credentials: str | os.PathLike[str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncSubscription:
    """As ``follow``, for asyncio: ``async with async_follow(...) as updates:``, or await it."""
    return AsyncEngineSubscription(
        **_arguments(nats_url, device, stream, site, prefix, timeout_s, name, credentials, tls),
        start=start,
        credit_bytes=credit_bytes,
    )


def _arguments(
    nats_url: str,
    device: str,
    stream: str,
    site: str,
    prefix: str,
    timeout_s: float | None,
    name: str | None,
    credentials: str | os.PathLike[str] | None,
    tls: ssl.SSLContext | None,
) -> dict[str, Any]:
    """Return those of a subscription."""
    subject = subject_of(prefix, site, device, stream)
    way = Way(urls_of(nats_url), checked_credentials(credentials), tls)
    return {
        "engine_stream": EngineStream(way, subject),
        "address": f"{without_secrets(nats_url)}/{subject}",
        "name": checked_name(program_name() if name is None else name),
        "latest_only": False,
        "timeout_s": _BEGIN_S if timeout_s is None else seconds_of(timeout_s),
        "must": timeout_s is not None,
    }
