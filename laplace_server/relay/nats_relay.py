"""Relays streams of devices into NATS JetStream, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import threading
import warnings
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from laplace_server.client import AsyncClientLHC
from laplace_server.client.not_copied import NotCopied
from laplace_server.errors import ClientClosed
from laplace_server.protocol import LOGGER_NAME
from laplace_server.relay.broker import Broker
from laplace_server.relay.keeping import Keeping
from laplace_server.relay.source_relay import Settings, SourceRelay
from laplace_server.relay.sources import RelaySource, sources_of
from laplace_server.relay.stats import RelayStats
from laplace_server.relay.subjects import DEFAULT_PREFIX, DEFAULT_SITE, subject_of
from laplace_server.relay.way import way_of, without_secrets
from laplace_server.wire.logs import Log
from laplace_server.wire.stacks import large_stacks
from laplace_server.wire.whole_numbers import INT64_MAX, whole_number

if TYPE_CHECKING:
    from laplace_server.security import ClientSecurity

__all__ = ["NatsRelay"]

log = Log(LOGGER_NAME)

_NAME = "laplace-server relay"
_STOP_S = 5.0
_MOST_REPLICAS = 5  # of JetStream


class NatsRelay(NotCopied):
    """Every update of some streams into NATS JetStream, once, from ``start()`` to ``stop()``.

    It begins behind the last update that JetStream has, or with the oldest one that the server has.
    It waits for servers and for NATS, whichever is not there, and goes on when they are back; of
    several relays of the same stream one writes, and another goes on where that ends. What is lost
    on the way, since a server's history did not reach so far, is noted in JetStream.

    Args:
        nats_url: ``nats://host:port``; of a cluster, several with commas between.
        sources: what to relay: (address, stream), (address, stream, device) or
            ``RelaySource`` for each; or the text ``[DEVICE=]ADDRESS/STREAM``.
        site: which of a facility's sites this is; part of the subject.
        prefix: what subjects begin with: PREFIX.SITE.DEVICE.STREAM.
        max_age_s: how long JetStream keeps updates, in seconds; None: for ever. These three are
            for streams that are not in JetStream yet.
        max_bytes: how much it keeps of each stream, which is one message of NATS at least (its
            ``max_payload``); None: without a limit.
        replicas: on how many servers of a cluster, 1 to 5.
        moved: a device that has another address than when it was relayed last is the same all the
            same. Else its stream is left alone: there may be two of that name.
        credentials: a file with the credentials for NATS (.creds).
        tls: for NATS, where it is not what the system trusts.
        domain: of JetStream, where it is not that of the NATS server that is connected to.
        security: gives the keys for a server's address, or None; ``ClientSecurity.find`` does.

    Raises:
        TypeError, ValueError: an argument is none of these.
        ImportError: what it takes is not installed.
    """

    _thread: threading.Thread | None = None  # for __del__, where the constructor raises

    def __init__(
        self,
        nats_url: str,
        sources: Iterable[RelaySource | tuple[str, str] | tuple[str, str, str | None] | str],
        *,
        site: str = DEFAULT_SITE,
        prefix: str = DEFAULT_PREFIX,
        max_age_s: float | None = None,
        max_bytes: int | None = None,
        replicas: int = 1,
        moved: bool = False,
        credentials: str | os.PathLike[str] | None = None,
        tls: ssl.SSLContext | None = None,
        domain: str | None = None,
        security: Callable[[str], ClientSecurity | None] | None = None,
    ) -> None:
        found = sources_of(sources)
        for each in found:
            subject_of(prefix, site, each.device or "any", each.stream)
        keeping = Keeping(_seconds(max_age_s), _bytes(max_bytes), _replicas(replicas))
        self._url = without_secrets(nats_url)
        self._broker = Broker(way_of(nats_url, credentials, tls, domain), _NAME)
        self._keys = {each.address: security and security(each.address) for each in found}
        settings = Settings(prefix, site, keeping, bool(moved))
        self._relays = tuple(SourceRelay(each, self._broker, settings) for each in found)
        self._process = os.getpid()
        self._lock = threading.RLock()  # a signal handler may stop it in the middle of start
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Future[Any] | None = None

    # ---- for any thread

    def start(self) -> None:
        """Begin, once only; it waits for nobody.

        Raises:
            ClientClosed: it was started or stopped before, or belongs to another process.
        """
        with self._lock:
            if self._process != os.getpid() or self._thread is not None or self._stopping:
                raise ClientClosed("A relay is started once, by the process that has made it.")
            # A daemon, so that a program that forgets it can end: nothing is lost by that.
            self._thread = threading.Thread(target=self._run, name="NATS relay", daemon=True)
            with large_stacks():
                self._thread.start()

    def stop(self) -> None:
        """End; again does nothing. What is on its way is found and gone on with next time."""
        if self._process != os.getpid():
            return
        with self._lock:
            self._stopping = True
            loop, work, thread = self._loop, self._work, self._thread
            if loop is not None and work is not None:
                with contextlib.suppress(RuntimeError):  # it has ended before
                    loop.call_soon_threadsafe(work.cancel)
        if thread is not None and thread is not threading.current_thread():
            thread.join(_STOP_S)

    def is_alive(self) -> bool:
        """Say whether it relays, or waits to."""
        thread = self._thread
        return self._process == os.getpid() and thread is not None and thread.is_alive()

    def stats(self) -> RelayStats:
        """Return what it counts, as of now."""
        sources = tuple(each.stats() for each in self._relays)
        return RelayStats(self._broker.is_connected, sources)

    def __enter__(self) -> NatsRelay:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<NatsRelay of {len(self._relays)} streams to {self._url}>"

    def __del__(self) -> None:
        # The thread refers to this object, so it has ended, or was never begun.
        if self._thread is not None and not self._stopping and self._process == os.getpid():
            warnings.warn(f"{self!r} was not stopped.", ResourceWarning, stacklevel=2, source=self)

    # ---- the thread

    def _run(self) -> None:
        try:
            asyncio.run(self._relay())
        except asyncio.CancelledError:
            pass
        except BaseException:
            log.exception("The thread of %r ends.", self)

    async def _relay(self) -> None:
        clients = {
            address: AsyncClientLHC(address, "relay", security=keys)
            for address, keys in self._keys.items()
        }
        work = asyncio.gather(*(each.run(clients[each.address]) for each in self._relays))
        with self._lock:
            self._loop, self._work = asyncio.get_running_loop(), work
            if self._stopping:
                work.cancel()
        try:
            await work
        finally:
            with self._lock:
                self._loop = None
            for client in clients.values():
                await client.close()
            await self._broker.close()


def _seconds(max_age_s: Any) -> float | None:
    if max_age_s is None:
        return None
    if isinstance(max_age_s, bool) or not isinstance(max_age_s, (int, float)):
        raise TypeError(f"'max_age_s' must be a number of seconds or None, not {max_age_s!r}.")
    if not 0.1 <= max_age_s <= 9e9:  # what fits into JetStream's nanoseconds
        raise ValueError(f"'max_age_s' must be 0.1 s at least, not {max_age_s!r}.")
    return float(max_age_s)


def _bytes(max_bytes: Any) -> int | None:
    return None if max_bytes is None else whole_number("max_bytes", max_bytes, 1, INT64_MAX)


def _replicas(replicas: Any) -> int:
    return whole_number("replicas", replicas, 1, _MOST_REPLICAS)
