"""``server.socket``: where handlers send their reply."""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping
from typing import Any, Protocol

import zmq

from laplace_server.protocol import CMD_GET, CMD_GET_ARRAYS, PROTOCOL_VERSION, make_error
from laplace_server.server import _core
from laplace_server.server._core import ErrorKind

UNKNOWN = "UNKNOWN"
_LONGEST_WHO = 256  # characters of JSON
_NO_ERROR = ErrorKind.NONE  # looking it up there takes as long as a call


class Owner(Protocol):
    """Whose requests are answered."""

    name: str
    core: _core.Core


class ReplySocket:
    """Sends the one reply to the request that the ServerLHC thread is handling.

    Handlers written for a plain REP socket find its sending half here. As on a REP socket, sending
    without a request, or twice, raises ``zmq.ZMQError`` with EFSM. The reply leaves as soon as the
    handler has returned.
    """

    def __init__(self, owner: Owner) -> None:
        # Weak: a server that nobody holds goes at once, and its port with it.
        self._owner_reference = weakref.ref(owner)
        self.open()
        self.close()
        text = "The request could not be handled."
        reply = make_error(owner.name, UNKNOWN, cmd=UNKNOWN, error_msg=text)
        # Made beforehand, for when no other reply can be made.
        self.last_resort = json.dumps(reply).encode()

    # The worker's side.

    def open(self) -> None:
        """A request is about to be handled; nothing is known of it yet."""
        self.target: Any = UNKNOWN  # these four are the worker's to set
        self.cmd: Any = UNKNOWN
        self.version: Any = None
        self.caller = ""
        self._reply: bytes | None = None
        self._error = _NO_ERROR
        self._sends_data = False
        self._subscription: tuple[Any, ...] | None = None
        self._failure: str | None = None
        self._denied = False
        self._open = True

    def close(self) -> None:
        """No request is being handled."""
        self._open = self._sends_data = False
        self.target = self.cmd = self._reply = None

    @property
    def answered(self) -> bool:
        """Whether the handler has sent its reply."""
        return self._sends_data or self._reply is not None

    @property
    def failed(self) -> bool:
        """Whether the request gets an error reply, whatever its handler sends."""
        return self._failure is not None

    def fail(self, text: str) -> None:
        """Have the request that is being handled, if there is one, answered with an error."""
        if self._open and self._failure is None:
            self._failure = text

    def deny(self, text: str) -> None:
        """Refuse the request, which the role of who asks does not permit."""
        self.send_error(text, ErrorKind.NOT_PERMITTED)
        self._denied = True

    def finish(self, jobs: _core.Jobs, job: int, command: int) -> None:
        """Give the reply to the loop."""
        if self._failure is not None:
            self._reply = self._subscription = None
            self._sends_data = False
            self.send_error(self._failure)
        if self._sends_data:
            target = json.dumps(self.target).encode()
            version = json.dumps(self.version).encode()
            if self.cmd == CMD_GET:
                jobs.finish_get(job, target, version, command)
                return
            try:
                jobs.finish_get_arrays(job, target, version, command)
            except (TypeError, ValueError) as problem:
                self._sends_data = False
                self.send_error(str(problem), ErrorKind.DATA)
                assert self._reply is not None
                jobs.finish(job, self._reply, command, self._error)
        elif self._denied and self._reply is not None:
            jobs.deny(job, self._reply, command)
        elif self._reply is None:  # even the error could not be written
            jobs.finish(job, self.last_resort, command, ErrorKind.HANDLER)
        elif self._subscription is None:
            jobs.finish(job, self._reply, command, self._error)
        else:
            refusal, *subscription = self._subscription
            jobs.finish_subscribe(job, self._reply, refusal, command, *subscription)

    @property
    def _owner(self) -> Owner:
        owner = self._owner_reference()
        assert owner is not None, "a request is handled by a thread that holds its server"
        return owner

    # The handlers' side.

    def send_json(self, obj: Any, flags: int = 0, **kwargs: Any) -> None:
        """Send a reply. ``flags`` and keywords for ``json.dumps`` are taken for old handlers.

        Raises:
            TypeError: it cannot be written as JSON.
            zmq.ZMQError: EFSM, there is no request to answer (any more).
        """
        self._check_open()
        if type(obj) is dict or isinstance(obj, Mapping):  # the second takes its time
            # A private copy of what is not a plain dict; ``encode_json`` makes its own.
            reply: dict[Any, Any] = obj if type(obj) is dict else dict(obj)
            if self.version != PROTOCOL_VERSION and reply.get("version") == PROTOCOL_VERSION:
                reply = {**reply, "version": self.version or PROTOCOL_VERSION}
            failed = reply.get("error_msg") is not None
            self._send(_core.encode_json(reply), ErrorKind.HANDLER if failed else _NO_ERROR)
        else:
            self._send(json.dumps(obj, **kwargs).encode())

    def send(self, data: Any, flags: int = 0, copy: bool = True, track: bool = False) -> None:
        """Send raw bytes as the reply.

        Raises:
            zmq.ZMQError: EFSM, there is no request to answer (any more).
        """
        self._check_open()
        self._send(bytes(data))

    def send_string(
        self, u: str, flags: int = 0, copy: bool = True, encoding: str = "utf-8"
    ) -> None:
        """Send a text as the reply.

        Raises:
            zmq.ZMQError: EFSM, there is no request to answer (any more).
        """
        self._check_open()
        self._send(u.encode(encoding))

    def send_error(self, text: str, kind: ErrorKind = ErrorKind.HANDLER) -> None:
        """Send an error reply to whoever asked."""
        self._check_open()
        self._send(self._error_reply(text), kind)

    def send_data(self) -> None:
        """Answer a GET, or GET ARRAYS, with the data as it is when the handler has returned."""
        self._check_open()
        if self.cmd not in (CMD_GET, CMD_GET_ARRAYS):
            raise zmq.ZMQError(zmq.EFSM, "only a GET is answered with the data")
        self._sends_data = True

    def subscribe(
        self,
        stream: str,
        *,
        refusal: str,
        subscription: int,
        next_number: int,
        messages: int,
        allowed_bytes: int,
        latest_only: bool,
    ) -> None:
        """Begin a subscription of the asking peer when the reply, still to be sent, leaves.

        Where its connection has as many as it may have, ``refusal`` is sent instead.
        """
        self._check_open()
        who = json.dumps(self.target).encode()
        if len(who) > _LONGEST_WHO:  # it is kept as long as the subscription
            who = json.dumps(who[:_LONGEST_WHO].decode() + "...").encode()
        self._subscription = (
            self._error_reply(refusal),
            stream,
            who,
            subscription,
            next_number,
            messages,
            allowed_bytes,
            latest_only,
        )

    def _error_reply(self, text: str) -> bytes:
        reply = make_error(self._owner.name, self.target, cmd=self.cmd, error_msg=text)
        if self.version is not None:
            reply["version"] = self.version
        return _core.encode_json(reply)

    def _check_open(self) -> None:
        if not self._open or self._sends_data or self._reply is not None:
            raise zmq.ZMQError(
                zmq.EFSM, "a reply can be sent once, by the handler of a request, while it runs"
            )

    def _send(self, reply: bytes, kind: ErrorKind = _NO_ERROR) -> None:
        self._reply = reply
        self._error = kind
