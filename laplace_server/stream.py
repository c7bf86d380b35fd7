"""Follow a server's stream: every update, in order, or a plain word on how many are lost.

    with ClientLHC("tcp://192.168.1.20:5555") as camera:
        with camera.subscribe("images") as images:
            for update in images:
                print(update.seq, update.data["mean"], update.lost_before)

A subscription has a connection of its own. The server sends as much as the subscription allows,
and it allows more as its updates are taken; what is not taken waits in the server's history, and
what has left the history is reported as lost.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NamedTuple

import zmq

from laplace_server import protocol, stream_wire
from laplace_server.errors import ClientClosed, InvalidReply, RemoteError, RequestTimeout

_MESSAGES = 16
_SUBSCRIPTION = 1  # a connection has one only
# A server says something each second; after this time without a word it is asked.
_SILENCE_S = 2.5
_ASK_AGAIN_S = 1.0
_LONGEST_WAIT_S = 0.5  # until a signal's handler runs at the latest
_HEARTBEAT_MS, _HEARTBEAT_TIMEOUT_MS = 1000, 15000


class Update(NamedTuple):
    """One update of a stream."""

    seq: int
    """Its number, from 1 on; without a hole but for what is lost."""
    epoch: int
    """Which life of the server it comes from: another one counts from 1 again."""
    timestamp: float
    """When it was acquired, seconds since 1970."""
    data: dict[str, Any]
    """JSON values, and read-only NumPy arrays."""
    lost_before: int
    """Updates right before this one that are lost; with ``latest_only``, that were skipped."""


class Subscription:
    """An iterator over a stream's updates; made by ``ClientLHC.subscribe``. For one thread.

    It goes on by itself after a broken connection, from the next update on, and after a restart of
    the server, with whatever its history holds.
    """

    def __init__(
        self,
        address: str,
        name: str,
        stream: str,
        *,
        start: str | int,
        latest_only: bool,
        credit_bytes: int,
        timeout_s: float,
    ) -> None:
        self.stream = stream
        self.lost = 0
        """Updates lost so far, in all epochs; with ``latest_only``, skipped."""
        self.epoch = 0
        self._address = address
        self._name = name
        self._latest_only = latest_only
        self._window_messages = 1 if latest_only else _MESSAGES
        self._window_bytes = credit_bytes
        self._next = 0  # number of the update waited for
        self._last = 0  # of the last one published, as far as is known
        self._batch: Iterator[Update] = iter(())
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        try:
            self._subscribe(start, timeout_s)
        except BaseException:
            self.close()
            raise

    @property
    def lag(self) -> int:
        """Updates that were published but not taken from here, as of the last message."""
        return max(0, self._last - self._next + 1)

    def __iter__(self) -> Subscription:
        return self

    def __next__(self) -> Update:
        for update in self._batch:
            self._next = update.seq + 1
            return update
        return self.next()

    def next(self, timeout: float | None = None) -> Update:
        """Return the next update, waiting for it up to ``timeout`` seconds; None: for ever.

        Raises:
            TimeoutError: none came in time.
            ClientClosed: the subscription is closed.
            LaplaceError: the update holds arrays, and NumPy is not installed.
        """
        for update in self._batch:
            self._next = update.seq + 1
            return update
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._grant()
            self._receive(deadline)
            for update in self._batch:
                self._next = update.seq + 1
                return update

    def close(self) -> None:
        """End the subscription; again does nothing."""
        socket, self._socket = self._socket, None
        if socket is not None:
            self._tell(socket, stream_wire.LEAVE)
            socket.close(linger=100)
        if not self._context.closed:
            self._context.term()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ---- beginning

    def _subscribe(self, start: str | int, timeout_s: float) -> None:
        """Ask the server, on a new connection, and wait for its word.

        Raises:
            RequestTimeout, RemoteError, InvalidReply: as a request.
        """
        if self._socket is not None:
            self._socket.close(linger=0)
        socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        self._socket = socket
        socket.ipv6 = "[" in self._address
        socket.setsockopt(zmq.RCVHWM, 0)  # the credit bounds what is on the way
        # The server's end of a broken connection notices, too.
        socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TTL, _HEARTBEAT_TIMEOUT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS)
        socket.connect(self._address)
        self._taken_messages = self._taken_bytes = 0
        self._granted_messages = self._window_messages
        self._granted_bytes = self._window_bytes
        request = protocol.make_subscribe(
            self._name,
            self._address,
            stream=self.stream,
            subscription=_SUBSCRIPTION,
            start=start,
            messages=self._granted_messages,
            allowed_bytes=self._granted_bytes,
            latest_only=self._latest_only,
        )
        if self.epoch:
            request["payload"]["epoch"] = self.epoch
        socket.send_multipart([b"", json.dumps(request).encode()])
        if not socket.poll(round(timeout_s * 1000)):
            raise RequestTimeout(protocol.CMD_SUBSCRIBE, self._address, timeout_s)
        self._begin(socket.recv_multipart()[-1])

    def _begin(self, body: bytes) -> None:
        """Take the server's word on a subscription."""
        try:
            reply = json.loads(body)
            error, payload = reply["error_msg"], reply["payload"]
            if error is not None:
                raise RemoteError(error, protocol.CMD_SUBSCRIBE, self._address)
            epoch, following, last = payload["epoch"], payload["next"], payload["last"]
        except (ValueError, KeyError, TypeError) as problem:
            text = f"not the answer to SUBSCRIBE: {problem!r}"
            raise InvalidReply(text, protocol.CMD_SUBSCRIBE, self._address) from None
        if epoch != self.epoch:
            # A new life of the server: what it lost before its first update here is lost.
            self._next = 1 if self.epoch else following
            self.epoch = epoch
        self._last = last
        self._heard = time.monotonic()

    # ---- going on

    def _tell(self, socket: zmq.Socket[bytes], kind: int) -> None:
        body = stream_wire.control(
            kind, _SUBSCRIPTION, self._granted_messages, self._granted_bytes, self._next
        )
        with contextlib.suppress(zmq.Again):  # no connection now: it is said again later
            socket.send_multipart([b"", body], zmq.DONTWAIT)

    def _grant(self) -> None:
        """Allow more, when a part of what was allowed has been taken."""
        if self._socket is None:
            raise ClientClosed(f"The subscription of {self.stream!r} is closed.")
        messages = self._taken_messages + self._window_messages
        allowed = self._taken_bytes + self._window_bytes
        if (
            messages - self._granted_messages >= max(1, self._window_messages // 4)
            or allowed - self._granted_bytes >= self._window_bytes // 4
        ):
            self._granted_messages, self._granted_bytes = messages, allowed
            self._tell(self._socket, stream_wire.CREDIT)

    def _receive(self, deadline: float | None) -> None:
        """Wait for a message and take it."""
        socket = self._socket
        assert socket is not None
        while not socket.poll(self._wait_ms(deadline)):
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                raise TimeoutError(f"no update of {self.stream!r} in time")
            if now - self._heard > _SILENCE_S:
                # Gone, restarted, or the network broke: whoever is there now will answer.
                self._tell(socket, stream_wire.CREDIT)
                self._heard = now - _SILENCE_S + _ASK_AGAIN_S
        frames = socket.recv_multipart(copy=False)
        self._heard = time.monotonic()
        if len(frames) < 2:
            return
        body = frames[1].bytes
        header = stream_wire.header_of(body)
        if header is None:
            return
        if header.kind == stream_wire.UPDATES:
            self._take(header, body, frames)
        elif header.kind == stream_wire.UNKNOWN:
            self._resume()
        else:
            self._last = max(self._last, header.last)

    def _wait_ms(self, deadline: float | None) -> int:
        seconds = _LONGEST_WAIT_S
        if deadline is not None:
            seconds = min(seconds, max(0.0, deadline - time.monotonic()))
        return round(seconds * 1000)

    def _resume(self) -> None:
        """Subscribe again, from the next update on, to whoever answers now."""
        try:
            self._subscribe(self._next, _ASK_AGAIN_S)
        except (RequestTimeout, RemoteError):
            self._heard = time.monotonic() - _SILENCE_S + _ASK_AGAIN_S  # not yet; soon again

    def _take(self, header: stream_wire.Header, body: bytes, frames: list[zmq.Frame]) -> None:
        self._taken_messages += 1
        self._taken_bytes += sum(map(len, frames[1:]))
        count, first = header.updates, header.first
        if header.epoch != self.epoch:  # of a restarted server, whose answer came too late
            self.epoch, self._next = header.epoch, 1
        if first + count <= self._next:
            return  # known already
        text = stream_wire.text_of(body, count)
        if header.arrays:
            datas: list[Any] = [stream_wire.with_arrays(_decoded(text), frames[2:])]
        else:
            datas = _decoded(text)
        lost = first - self._next
        self.lost += lost
        self._last = max(self._last, header.last)
        self._batch = map(
            Update._make,
            zip(
                range(first, first + count),
                itertools.repeat(header.epoch),
                stream_wire.times_of(body, count),
                datas,
                itertools.chain((lost,), itertools.repeat(0)),
                strict=False,
            ),
        )


def _decoded(text: bytes) -> Any:
    from laplace_server.client import _decoded as decoded

    return decoded(text)
