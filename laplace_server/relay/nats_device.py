"""A device as NATS has it, in the place of a client of its server: its streams, and what it is.

camera = NatsDevice("nats://broker:4222", "camera")
with Recorder("run.h5", [(camera, "images")]):
    ...
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Set
from typing import Any

from laplace_server.client.program_name import program_name
from laplace_server.client.requests import checked_name, seconds_of
from laplace_server.client.starts import Start
from laplace_server.client.stream_source import AsyncStreamSource, BaseSource, StreamSource
from laplace_server.relay.device_info import DeviceInfo, ask_in_time, wait_for
from laplace_server.relay.engine_reader import EngineStream
from laplace_server.relay.engine_subscription import AsyncEngineSubscription, EngineSubscription
from laplace_server.relay.subjects import DEFAULT_PREFIX, DEFAULT_SITE, subject_of
from laplace_server.relay.way import way_of, without_secrets

__all__ = ["AsyncNatsDevice", "NatsDevice"]

_ANY = "any"  # in the place of a stream


class _Device(BaseSource):
    """What devices for threads and for asyncio have in common."""

    def __init__(
        self,
        nats_url: str,
        device: str,
        name: str | None = None,
        timeout_s: float = 2.0,
        *,
        site: str = DEFAULT_SITE,
        prefix: str = DEFAULT_PREFIX,
        credentials: str | os.PathLike[str] | None = None,
        tls: ssl.SSLContext | None = None,
        domain: str | None = None,
    ) -> None:
        self._given = nats_url, device, name, timeout_s
        self._options: dict[str, Any] = {
            "site": site,
            "prefix": prefix,
            "credentials": credentials,
            "tls": tls,
            "domain": domain,
        }
        self._subject = subject_of(prefix, site, device, _ANY)
        self._way = way_of(nats_url, credentials, tls, domain)
        self._url = without_secrets(nats_url)
        self._name = checked_name(program_name() if name is None else name)
        self._timeout_s = seconds_of(timeout_s)
        self._closed = False

    @property
    def address(self) -> str:
        """Where NATS has it: ``nats://host:port/PREFIX.SITE.DEVICE``."""
        return f"{self._url}/{self._subject.device_subject}"

    @property
    def device(self) -> str:
        """What it is called in NATS."""
        return self._subject.device

    @property
    def name(self) -> str:
        """What the program calls itself."""
        return self._name

    @property
    def timeout_s(self) -> float:
        """How long an answer is waited for unless told otherwise, in seconds."""
        return self._timeout_s

    @property
    def closed(self) -> bool:
        """True once ``close()`` has been called."""
        return self._closed

    @property
    def _info(self) -> DeviceInfo:
        self._check_open()
        return DeviceInfo(self._way, self._subject, self._name)

    def _following(
        self, stream: str, name: str | None, timeout_s: float | None, **options: Any
    ) -> dict[str, Any]:
        """Return the arguments of a subscription."""
        self._check_open()
        prefix, site, device, _ = self._subject
        subject = subject_of(prefix, site, device, stream)
        return {
            "engine_stream": EngineStream(self._way, subject),
            "address": f"{self._url}/{subject}",
            "name": self._name if name is None else checked_name(name),
            "timeout_s": self._timeout_s if timeout_s is None else seconds_of(timeout_s),
            "must": timeout_s is not None,
            "check": self._check_open,
            **options,
        }


class NatsDevice(_Device, StreamSource):
    """A device whose streams a relay has brought to NATS, for threads.

    It stands where a ClientLHC would: recorders, gatherings and StreamBridge take it. It answers
    what NATS knows of the device; requests go to the device itself.

    Args:
        nats_url: ``nats://host:port``; of a cluster, several with commas between.
        device: what it is called in NATS: the name of its server, unless the relay was told.
        name: what the program calls itself.
        timeout_s: how long an answer is waited for, in seconds.
        site, prefix, credentials, tls, domain: as for ``follow``.

    Raises:
        TypeError, ValueError: an argument is none of these.
        ImportError: what it takes is not installed.
    """

    def subscribe(
        self,
        stream: str = "data",
        *,
        start: Start = "latest",
        latest_only: bool = False,
        credit_bytes: int = 16 << 20,
        timeout_s: float | None = None,
        name: str | None = None,
    ) -> EngineSubscription:
        """Follow a stream, as ``follow`` does.

        Raises:
            ClientClosed: it is closed.
            As ``follow``.
        """
        how = {"start": start, "latest_only": latest_only, "credit_bytes": credit_bytes}
        return EngineSubscription(**self._following(stream, name, timeout_s, **how))

    def info(self, *, timeout_s: float | None = None) -> dict[str, Any]:
        """Return what INFO told last, with the ``name`` that the device has in NATS, and the names
        of the ``streams`` that NATS has of it.

        Raises:
            RequestTimeout: NATS has not answered in time.
            ClientClosed: it is closed.
        """
        seconds = self._timeout_s if timeout_s is None else seconds_of(timeout_s)
        return wait_for(self._info.last(), seconds, self.address)

    def close(self) -> None:
        """Subscribe no more; subscriptions stay."""
        self._closed = True

    def __enter__(self) -> NatsDevice:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- for who follows on a program's behalf

    def _again(self) -> NatsDevice:
        return NatsDevice(*self._given, **self._options)

    def _for_asyncio(self) -> AsyncNatsDevice:
        return AsyncNatsDevice(*self._given, **self._options)

    def _subscribe_while(
        self, check: Callable[[], None], stream: str, **how: Any
    ) -> EngineSubscription:
        return EngineSubscription(**self._following(stream, None, None, **how, check=check))

    def _stream_names(self) -> Set[str]:
        return set(wait_for(self._info.stream_names(), self._timeout_s, self.address))

    def _info_of(self, epoch: int) -> dict[str, Any]:
        return wait_for(self._info.of(epoch), self._timeout_s, self.address)

    def _lacks(self, stream: str, timeout_s: float) -> bool:
        return False  # the subscription itself hears of NATS each second


class AsyncNatsDevice(_Device, AsyncStreamSource):
    """The same for asyncio."""

    def subscribe(
        self,
        stream: str = "data",
        *,
        start: Start = "latest",
        latest_only: bool = False,
        credit_bytes: int = 16 << 20,
        timeout_s: float | None = None,
        name: str | None = None,
    ) -> AsyncEngineSubscription:
        """Follow a stream: ``async with device.subscribe(...) as updates:``, or await it."""
        how = {"start": start, "latest_only": latest_only, "credit_bytes": credit_bytes}
        return AsyncEngineSubscription(**self._following(stream, name, timeout_s, **how))

    async def info(self, *, timeout_s: float | None = None) -> dict[str, Any]:
        """As ``NatsDevice.info``."""
        seconds = self._timeout_s if timeout_s is None else seconds_of(timeout_s)
        return await ask_in_time(self._info.last(), seconds, self.address)

    async def close(self) -> None:
        """Subscribe no more; subscriptions stay."""
        self._closed = True

    async def __aenter__(self) -> AsyncNatsDevice:
        self._check_open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
