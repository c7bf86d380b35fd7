"""What clients ask and what the answers mean, without a connection."""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from laplace_server import protocol
from laplace_server.errors import (
    Busy,
    InvalidReply,
    NotPermitted,
    NotSupported,
    OutsideLimits,
    RemoteError,
    VersionMismatch,
)
from laplace_server.wire import arrays, commands, message_json
from laplace_server.wire.commands import Command

Answer = TypeVar("Answer")

Frames: TypeAlias = Sequence[bytes]
"""Of a reply."""

_ADDRESS = re.compile(r"tcp://(\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\]|[A-Za-z0-9._-]+):([0-9]+)")

# By how a server's words begin.
_KINDS_OF_ERRORS: dict[str, type[RemoteError]] = {
    "Protocol version mismatch": VersionMismatch,
    "not permitted: ": NotPermitted,
    "outside limits: ": OutsideLimits,
    "busy: ": Busy,
}

# What servers say of a command that they do not have.
_UNKNOWN_COMMAND = "Unknown command"


@dataclass
class Request(Generic[Answer]):
    """A request ready to be sent."""

    cmd: str
    body: bytes
    read: Callable[[Frames], Answer]
    """Makes the answer of the reply's frames; raises RemoteError and its kinds."""


class Requests:
    """The requests of one client to one server.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: not a client's address, or an empty name.
    """

    def __init__(self, address: str, name: str) -> None:
        check_address(address)
        # Of an enumeration's member its text: how it is formatted depends on Python's version.
        self.address = str.__str__(address)
        self.name = checked_name(name)
        # These never change, and GET is what most programs do all day.
        self.ping = self.of(commands.PING)
        self.info = self._request(
            protocol.make_info_request(self.name, self.address), self._mapping
        )
        self.halt = self._request(protocol.make_halt(self.name, self.address), self._halted)
        self.get = self._request(protocol.make_get_request(self.name, self.address), self._data)
        self.stats = self._request(
            protocol.make_stats_request(self.name, self.address), self._statistics
        )

    def get_arrays(self) -> Request[dict[str, Any]]:
        """Raise LaplaceError where NumPy is not installed."""
        arrays.numpy()
        message = protocol.make_get_arrays_request(self.name, self.address)
        return self._request(message, self._data_with_arrays)

    def of(self, command: Command, value: Any = None) -> Request[Any]:
        """Ask for a command of the table; raise TypeError where the value is none of its."""
        if command.converts is not None:
            value = command.converts(value)
        return self._plain(protocol.command_request(command, self.name, self.address, value))

    def any(self, cmd: str, payload: Mapping[str, Any] | None) -> Request[Any]:
        """Raise TypeError or ValueError where that is no request."""
        if not isinstance(cmd, str):
            raise TypeError(f"'cmd' must be str, not {type(cmd).__name__}.")
        if not cmd:
            raise ValueError("'cmd' must not be empty.")
        cmd = str.__str__(cmd)
        if payload is not None and not isinstance(payload, Mapping):
            raise TypeError(f"'payload' must be a mapping, not {type(payload).__name__}.")
        message = protocol.make_message(
            cmd=cmd, sender=self.name, target=self.address, payload=dict(payload or {})
        )
        return self._plain(message)

    def call(self, cmd: str, arguments: Mapping[str, Any]) -> Request[Any]:
        """Ask for a method; raise TypeError or ValueError where that is no request."""
        request = self.any(cmd, arguments)
        return Request(request.cmd, request.body, functools.partial(self._result, request.cmd))

    # ---- requests

    def _request(
        self, message: protocol.Message, read: Callable[[str, Frames], Answer]
    ) -> Request[Answer]:
        cmd = message["cmd"]
        return Request(cmd, message_json.encoded(message), functools.partial(read, cmd))

    def _plain(self, message: protocol.Message) -> Request[Any]:
        return self._request(message, self._payload)

    # ---- replies

    def _payload(self, cmd: str, frames: Frames) -> Any:
        if len(frames) != 1:
            raise InvalidReply(
                f"The reply has {len(frames)} frames instead of one.", cmd, self.address
            )
        return payload_of(frames[0], cmd, self.address)

    def _halted(self, cmd: str, frames: Frames) -> Any:
        try:
            return self._payload(cmd, frames)
        except RemoteError as error:
            if error.error_msg != _UNKNOWN_COMMAND:
                raise
        text = (
            "This device cannot be halted: its program has no HALT (ServerLHC.set_on_halt), or is "
            "one of laplace-server 0.2.0. Nothing was done."
        )
        raise NotSupported(text, cmd, self.address)

    def _mapping(self, cmd: str, frames: Frames) -> dict[str, Any]:
        payload = self._payload(cmd, frames)
        if not isinstance(payload, dict):
            raise InvalidReply(f"The payload of {cmd} is no object.", cmd, self.address)
        return payload

    def _statistics(self, cmd: str, frames: Frames) -> dict[str, Any]:
        try:
            return self._mapping(cmd, frames)
        except RemoteError as error:
            if error.error_msg != _UNKNOWN_COMMAND:
                raise
            text = f"The server does not know {cmd}: it is older than laplace-server 1.0."
            raise NotSupported(text, cmd, self.address) from None

    def _result(self, cmd: str, frames: Frames) -> Any:
        payload = self._mapping(cmd, frames)
        if commands.METHOD_RESULT not in payload:
            raise InvalidReply(
                f"{cmd} is answered, but is no method; request({cmd!r}) returns the payload.",
                cmd,
                self.address,
            )
        return payload[commands.METHOD_RESULT]

    def _data(self, cmd: str, frames: Frames) -> dict[str, Any]:
        # What most programs ask for, over and over: without the steps between.
        payload = payload_of(frames[0], cmd, self.address) if len(frames) == 1 else None
        if isinstance(payload, dict):
            data = payload.get("data")
            if isinstance(data, dict):
                return data
        self._mapping(cmd, frames)
        raise InvalidReply(f"The reply to {cmd} holds no 'data' object.", cmd, self.address)

    def _data_with_arrays(self, cmd: str, frames: Frames) -> dict[str, Any]:
        payload = self._mapping(cmd, frames[:1])
        try:
            data = arrays.put_at_paths(payload["data"], payload["arrays"], frames[1:])
        except (LookupError, TypeError, ValueError) as problem:
            raise InvalidReply(f"The reply's arrays: {problem!r}", cmd, self.address) from problem
        if not isinstance(data, dict):
            raise InvalidReply(f"The reply to {cmd} holds no 'data' object.", cmd, self.address)
        return data


def request_numbers() -> Iterator[bytes]:
    """Return numbers for the routes of requests.

    They come back with the replies: whatever else a connection brings is nobody's.
    """
    return map(struct.Struct("<Q").pack, itertools.count())


def payload_of(body: bytes, cmd: str, address: str) -> Any:
    """Return the payload of an encoded reply.

    Raises:
        RemoteError: the server answered with an error.
        NotPermitted, VersionMismatch, InvalidReply: kinds of that.
    """
    try:
        reply = message_json.decoded(body)
    except (ValueError, RecursionError) as error:
        raise InvalidReply(f"The reply cannot be read as JSON: {error}", cmd, address) from error
    if not isinstance(reply, dict):
        raise InvalidReply(f"The reply is {_shown(body)}, not an object.", cmd, address)
    error_msg = reply.get("error_msg")
    if error_msg is not None:
        text = error_msg if isinstance(error_msg, str) else json.dumps(error_msg)
        for begin, kind in _KINDS_OF_ERRORS.items():
            if text.startswith(begin):
                raise kind(text, cmd, address)
        raise RemoteError(text, cmd, address)
    if "payload" not in reply:
        raise InvalidReply(f"The reply has no payload: {_shown(body)}", cmd, address)
    return reply["payload"]


def checked_name(name: str) -> str:
    """Return what a client calls itself; raise TypeError or ValueError where that is no name."""
    if not isinstance(name, str):
        raise TypeError(f"'name' must be str, not {type(name).__name__}.")
    if not name:
        raise ValueError("'name' must not be empty: servers reject requests from nobody.")
    return str.__str__(name)


def check_address(address: str) -> None:
    """Raise TypeError or ValueError where this is no server's address for clients."""
    if not isinstance(address, str):
        raise TypeError(f"'address' must be str, not {type(address).__name__}.")
    match = _ADDRESS.fullmatch(address)
    if (
        match is None
        or not 0 < int(match[2].lstrip("0")[:6] or 0) < 65536
        or not _can_be_host(match[1])
    ):
        hint = ""
        if "*" in address:
            hint = " A '*' is for servers; a client needs the server's host and its port."
        raise ValueError(f"Address must be 'tcp://host:port', got {address!r}.{hint}")


def _can_be_host(host: str) -> bool:
    """Say whether what stands in brackets is a numeric address; any other is a name."""
    if not host.startswith("["):
        return True
    numeric = host[1:-1].partition("%")[0]
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in numeric else socket.AF_INET, numeric)
    except OSError:
        return False
    return True


def seconds_of(timeout_s: float, name: str = "timeout_s") -> float:
    """Return a time-out in seconds; raise TypeError or ValueError where it is none."""
    try:
        seconds = float(timeout_s)
    except (TypeError, ValueError):
        raise TypeError(f"'{name}' must be a number of seconds, not {timeout_s!r}.") from None
    except OverflowError:
        seconds = math.inf
    if not 0 < seconds < math.inf:
        raise ValueError(f"'{name}' must be a positive number of seconds, not {timeout_s!r}.")
    return seconds


def _shown(body: bytes) -> str:
    text = body.decode(errors="replace")
    return text if len(text) <= 80 else f"{text[:77]}..."
