"""Follow a stream out of NATS, as from its server."""

from __future__ import annotations

import os
import ssl

from laplace_server.client.asyncio.subscription import AsyncSubscription
from laplace_server.client.starts import Start
from laplace_server.client.sync.subscription import Subscription
from laplace_server.relay.nats_device import AsyncNatsDevice, NatsDevice
from laplace_server.relay.subjects import DEFAULT_PREFIX, DEFAULT_SITE

__all__ = ["async_follow", "follow"]


def follow(
    nats_url: str,
    device: str,
    stream: str,
    *,
    start: Start = "latest",
    latest_only: bool = False,
    site: str = DEFAULT_SITE,
    prefix: str = DEFAULT_PREFIX,
    credit_bytes: int = 16 << 20,
    timeout_s: float | None = None,
    name: str | None = None,
    credentials: str | os.PathLike[str] | None = None,
    tls: ssl.SSLContext | None = None,
    domain: str | None = None,
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
        latest_only: the newest update each time, for displays; what is skipped is not read.
        site, prefix: as the relay has them.
        credit_bytes: how much may be on its way, and so in memory here, beside what NATS sends in
            one piece (4 MiB, or two messages).
        timeout_s: raise RequestTimeout where it is not followed within this time, in seconds.
        name: what the program calls itself.
        credentials: a file with the credentials for NATS (.creds).
        tls: for NATS, where it is not what the system trusts.
        domain: of JetStream, where it is not that of the NATS server that is connected to.

    Raises:
        RequestTimeout: ``timeout_s`` was given, and it is not followed within that time.
        RemoteError: ``start`` is beyond what was relayed.
        TypeError, ValueError: an argument is none of these.
        ImportError: what it takes is not installed.
    """
    source = NatsDevice(
        nats_url,
        device,
        name,
        site=site,
        prefix=prefix,
        credentials=credentials,
        tls=tls,
        domain=domain,
    )
    return source.subscribe(
        stream,
        start=start,
        latest_only=latest_only,
        credit_bytes=credit_bytes,
        timeout_s=timeout_s,
    )


def async_follow(
    nats_url: str,
    device: str,
    stream: str,
    *,
    start: Start = "latest",
    latest_only: bool = False,
    site: str = DEFAULT_SITE,
    prefix: str = DEFAULT_PREFIX,
    credit_bytes: int = 16 << 20,
    timeout_s: float | None = None,
    name: str | None = None,
    credentials: str | os.PathLike[str] | None = None,
    tls: ssl.SSLContext | None = None,
    domain: str | None = None,
) -> AsyncSubscription:
    """As ``follow``, for asyncio: ``async with async_follow(...) as updates:``, or await it."""
    source = AsyncNatsDevice(
        nats_url,
        device,
        name,
        site=site,
        prefix=prefix,
        credentials=credentials,
        tls=tls,
        domain=domain,
    )
    return source.subscribe(
        stream,
        start=start,
        latest_only=latest_only,
        credit_bytes=credit_bytes,
        timeout_s=timeout_s,
    )
