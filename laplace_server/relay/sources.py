"""What is to be relayed."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any, NamedTuple

from laplace_server.client.requests import Requests


class RelaySource(NamedTuple):
    """A stream of a device."""

    address: str
    """Of the server: ``tcp://host:port``."""
    stream: str
    device: str | None = None
    """What it is called in NATS; None: as the server calls itself."""

    @property
    def owner(self) -> str:
        """Which device it is, of several that have the same name."""
        host = self.address.removeprefix("tcp://").rpartition(":")[0].strip("[]")
        return f"{self.address} of {socket.gethostname()}" if _is_loopback(host) else self.address


def sources_of(given: Any) -> tuple[RelaySource, ...]:
    """Return the sources in what the user gave.

    Raises:
        TypeError, ValueError: it has none, a wrong one, or one twice.
    """
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"'sources' must be a list of (address, stream), not {given!r}.")
    found = tuple(map(_source, given))
    if not found:
        raise ValueError("'sources' must name a stream at least.")
    for each in found:
        if [each[:2] for each in found].count(each[:2]) > 1:
            raise ValueError(f"{each.address} and its stream {each.stream!r} are there twice.")
    return found


def _source(given: Any) -> RelaySource:
    if isinstance(given, str):
        return read_source(given)
    if not isinstance(given, tuple) or not 2 <= len(given) <= 3:
        raise TypeError(f"a source must be (address, stream) or 'ADDRESS/STREAM', not {given!r}.")
    source = RelaySource(*given)
    Requests(source.address, "relay")  # it checks the address
    texts = (source.stream,) if source.device is None else source[1:]
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"the stream and the device of a source are str, not {text!r}.")
    if not source.stream or source.device == "":
        raise ValueError(f"the stream and the device of a source must not be empty: {given!r}.")
    return source


def read_source(text: str) -> RelaySource:
    """Read ``[DEVICE=]ADDRESS/STREAM``, where ADDRESS is ``tcp://host:port`` or ``host:port``.

    Raises:
        ValueError: it is none.
    """
    device, equals, rest = text.partition("=")
    if not equals or "/" in device:
        device, rest = "", text
    host, slash, stream = rest.removeprefix("tcp://").partition("/")
    if not slash or not host or not stream:
        raise ValueError(f"{text!r} is not ADDRESS/STREAM, as in tcp://192.168.1.20:5555/images.")
    return _source((f"tcp://{host}", stream, device or None))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
