"""What clients ask and what the answers mean, without a connection."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import zmq

from laplace_server import arrays, message_json, protocol
from laplace_server.errors import InvalidReply, RemoteError, VersionMismatch

Answer = TypeVar("Answer")

_ADDRESS = re.compile(r"tcp://(\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\]|[A-Za-z0-9._-]+):([0-9]+)")
_VERSION_ERROR = "Protocol version mismatch"


@dataclass
class Request(Generic[Answer]):
    """A request ready to be sent."""

    cmd: str
    body: bytes
    read: Callable[[Sequence[zmq.Frame]], Answer]
    """Makes the answer of the reply's frames; raises RemoteError and its kinds."""


class Requests:
    """The requests of one client to one server.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: not a client's address, or an empty name.
    """

    def __init__(self, address: str, name: str) -> None:
        check_address(address)
        if not isinstance(name, str):
            raise TypeError(f"'name' must be str, not {type(name).__name__}.")
        if not name:
            raise ValueError("'name' must not be empty: servers reject requests from nobody.")
        # Of an enumeration's member its text: how it is formatted depends on Python's version.
        self.address = str.__str__(address)
        self.name = name = str.__str__(name)
        # These never change, and GET is what most programs do all day.
        self.ping = self._plain(protocol.make_ping(name, self.address))
        self.info = self._request(protocol.make_info_request(name, self.address), self._mapping)
        self.get = self._request(protocol.make_get_request(name, self.address), self._data)

    def get_arrays(self) -> Request[dict[str, Any]]:
        """Raise LaplaceError where NumPy is not installed."""
        arrays.numpy()
        message = protocol.make_get_arrays_request(self.name, self.address)
        return self._request(message, self._data_with_arrays)

    def set(self, positions: Any) -> Request[Any]:
        message = protocol.make_set_request(self.name, self.address, positions=positions)
        return self._plain(message)

    def save(self, path: str | os.PathLike[str]) -> Request[Any]:
        message = protocol.make_save_request(self.name, self.address, path=os.fspath(path))
        return self._plain(message)

    def opt(self, data: Any) -> Request[Any]:
        return self._plain(protocol.make_opt_update(self.name, self.address, data=data))

    def scan(self, data: Any) -> Request[Any]:
        return self._plain(protocol.make_scan_update(self.name, self.address, data=data))

    def set_actuators(self, actuators: Any) -> Request[Any]:
        return self._plain(protocol.make_set_actuators(self.name, self.address, actuators))

    def set_diagnostics(self, diagnostics: Any) -> Request[Any]:
        return self._plain(protocol.make_set_diagnostics(self.name, self.address, diagnostics))

    def update_actuator_positions(self, actuators: Any) -> Request[Any]:
        message = protocol.make_scan_act_position_update(self.name, self.address, actuators)
        return self._plain(message)

    def toggle_saving(self, on: bool) -> Request[Any]:
        message = protocol.make_toggle_saving_status_request(
            self.name, self.address, saving_status=bool(on)
        )
        return self._plain(message)

    def stop_server(self) -> Request[Any]:
        return self._plain(protocol.make_stop(self.name, self.address))

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

    # ---- requests

    def _request(
        self, message: protocol.Message, read: Callable[[str, Sequence[zmq.Frame]], Answer]
    ) -> Request[Answer]:
        cmd = message["cmd"]
        return Request(cmd, message_json.encoded(message), lambda frames: read(cmd, frames))

    def _plain(self, message: protocol.Message) -> Request[Any]:
        return self._request(message, self._payload)

    # ---- replies

    def _payload(self, cmd: str, frames: Sequence[zmq.Frame]) -> Any:
        if len(frames) != 1:
            raise InvalidReply(
                f"The reply has {len(frames)} frames instead of one.", cmd, self.address
            )
        return payload_of(frames[0].bytes, cmd, self.address)

    def _mapping(self, cmd: str, frames: Sequence[zmq.Frame]) -> dict[str, Any]:
        payload = self._payload(cmd, frames)
        if not isinstance(payload, dict):
            raise InvalidReply(f"The payload of {cmd} is no object.", cmd, self.address)
        return payload

    def _data(self, cmd: str, frames: Sequence[zmq.Frame]) -> dict[str, Any]:
        data = self._mapping(cmd, frames).get("data")
        if not isinstance(data, dict):
            raise InvalidReply(f"The reply to {cmd} holds no 'data' object.", cmd, self.address)
        return data

    def _data_with_arrays(self, cmd: str, frames: Sequence[zmq.Frame]) -> dict[str, Any]:
        payload = self._mapping(cmd, frames[:1])
        try:
            data = arrays.put_at_paths(payload["data"], payload["arrays"], frames[1:])
        except (LookupError, TypeError, ValueError) as problem:
            raise InvalidReply(f"The reply's arrays: {problem!r}", cmd, self.address) from problem
        if not isinstance(data, dict):
            raise InvalidReply(f"The reply to {cmd} holds no 'data' object.", cmd, self.address)
        return data


def payload_of(body: bytes, cmd: str, address: str) -> Any:
    """Return the payload of an encoded reply.

    Raises:
        RemoteError: the server answered with an error.
        VersionMismatch, InvalidReply: kinds of that.
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
        kind = VersionMismatch if text.startswith(_VERSION_ERROR) else RemoteError
        raise kind(text, cmd, address)
    if "payload" not in reply:
        raise InvalidReply(f"The reply has no payload: {_shown(body)}", cmd, address)
    return reply["payload"]


def check_address(address: str) -> None:
    """Raise TypeError or ValueError where this is no server's address for clients."""
    if not isinstance(address, str):
        raise TypeError(f"'address' must be str, not {type(address).__name__}.")
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match[2].lstrip("0")[:6] or 0) < 65536:
        hint = ""
        if "*" in address:
            hint = " A '*' is for servers; a client needs the server's host and its port."
        raise ValueError(f"Address must be 'tcp://host:port', got {address!r}.{hint}")


def seconds_of(timeout_s: float) -> float:
    """Return a time-out in seconds; raise TypeError or ValueError where it is none."""
    try:
        seconds = float(timeout_s)
    except (TypeError, ValueError):
        raise TypeError(f"'timeout_s' must be a number of seconds, not {timeout_s!r}.") from None
    if not 0 < seconds < math.inf:
        raise ValueError(f"'timeout_s' must be a positive number of seconds, not {timeout_s!r}.")
    return seconds


def _shown(body: bytes) -> str:
    text = body.decode(errors="replace")
    return text if len(text) <= 80 else f"{text[:77]}..."
