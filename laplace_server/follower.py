"""The state of one subscription, without a socket: what to send, and what a message means.

Whoever owns a ``Follower`` opens a connection, sends what ``ask`` returns, hands over what comes to
``take`` and sends what ``credit`` returns. A connection belongs to one ``ask``: when it breaks
(``gone``) or is silent too long (``is_due``, asked where there is nothing to read), a new one
begins with a new ``ask``. So what is no JSON goes only to a server that has granted the
subscription, on this very connection.

Times are in seconds of ``time.monotonic``.
"""

from __future__ import annotations

import enum
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
import zmq

from laplace_server import _core, arrays, message_json, protocol, stream_wire
from laplace_server.client_requests import payload_of
from laplace_server.errors import InvalidReply, RemoteError
from laplace_server.logs import Log

LOGGER_NAME = "laplace.client"

MESSAGES = 16  # on the way at most; few, so that they become large where they come quickly
MAX_ENDED = 100

SILENCE_S = 2.5  # a server says something each second
DOUBT_S = 0.25  # to read what came while this process stood still
ANSWER_S = 5.0  # the answer to SUBSCRIBE may have to wait for a callback there
AGAIN_S = 1.0  # between two attempts
FIRST_RETRY_S = 0.1  # doubles up to AGAIN_S while there is nobody

_log = Log(LOGGER_NAME)


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


class EndedEpoch(NamedTuple):
    """What came of a life of the server that is over: received + lost = last - first + 1."""

    epoch: int
    first: int
    """Number of the first update wanted."""
    received: int
    lost: int
    """Updates that are missing up to ``last``, those at the end included."""
    last: int
    """Number of the last update that the server told of."""
    complete: bool
    """True: the server said that ``last`` is its last. False: what came after it is unknown."""


class State(enum.Enum):
    """Of the present connection."""

    APART = "none, or one of no use"
    ASKING = "SUBSCRIBE is sent"
    FOLLOWING = "the server has granted it"


class Follower:
    """One subscription.

    Raises:
        ValueError: ``credit_bytes`` is not positive.
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
    ) -> None:
        if credit_bytes < 1:
            raise ValueError(f"'credit_bytes' must be 1 or more, not {credit_bytes}.")
        self.address = address
        self.stream = str.__str__(stream) if isinstance(stream, str) else stream
        self.state = State.APART
        self.due_at = 0.0
        """When to ask ``is_due``."""
        self.batch = _core.Updates(Update, b"", [], 1, 0, 0, 0)
        """The updates of the last message; ``take`` may be called when all are taken."""
        self.lost = 0
        self.epoch = 0
        self.server_ended = False
        """The server said that it stops, and no other has come."""
        self._name = name
        self._start = start
        self._latest_only = latest_only
        self._window_messages = 1 if latest_only else MESSAGES
        self._window_bytes = credit_bytes
        self._subscription = 0
        self._taken_messages = self._taken_bytes = 0
        self._granted_messages = self._granted_bytes = 0
        self._confirmed = 0
        self._alive = False
        self._doubted = False
        self._retry_s = FIRST_RETRY_S
        self._refusal = ""
        self._position = 0  # number of the update behind the batch
        self._last = 0  # of the last one published, as far as is known
        self._first = self._received = self._lost = 0  # of this epoch
        self._ended: deque[EndedEpoch] = deque(maxlen=MAX_ENDED)

    # ---- what users ask

    @property
    def following(self) -> int:
        """Number of the update that is taken next, if it is not lost."""
        return self._position - len(self.batch)

    @property
    def lag(self) -> int:
        return max(0, self._last - self.following + 1)

    @property
    def ended(self) -> tuple[EndedEpoch, ...]:
        return tuple(self._ended)

    def drop_batch(self) -> None:
        """Take nothing more from the batch; whoever iterates over it comes to its end."""
        self._position -= len(self.batch)
        self.batch.drop()

    # ---- connections

    def ask(self, now: float) -> bytes:
        """Return the SUBSCRIBE with which a new connection begins."""
        self.state = State.ASKING
        self.due_at = now + ANSWER_S
        self._subscription = self._subscription % 0xFFFFFFFF + 1
        self._taken_messages = self._taken_bytes = 0
        self._granted_messages = self._window_messages
        self._granted_bytes = self._window_bytes
        self._confirmed = self.following
        message = protocol.make_subscribe(
            self._name,
            self.address,
            stream=self.stream,
            subscription=self._subscription,
            start=self.following if self.epoch else self._start,
            messages=self._granted_messages,
            allowed_bytes=self._granted_bytes,
            latest_only=self._latest_only,
        )
        if self.epoch:
            message["payload"]["epoch"] = self.epoch
        return message_json.encoded(message)

    def is_due(self, now: float) -> bool:
        """Say whether to begin a new connection, where there is nothing to read."""
        if now < self.due_at:
            return False
        if self.state is State.FOLLOWING and not self._doubted:
            # Perhaps it was not the server that stood still.
            self._doubted = True
            self.due_at = now + DOUBT_S
            return False
        return True

    def gone(self, now: float, elsewhere: bool = False) -> None:
        """Take notice that the connection is broken, or was never made.

        ``elsewhere``: there is another address to try.
        """
        if self.state is State.APART:
            return
        if self.state is State.FOLLOWING or elsewhere:
            self._apart(now, 0.0)
        else:
            self.nobody(now)

    def nobody(self, now: float) -> None:
        """Take notice that there is nobody to connect to; each time in a row it is due later."""
        self._apart(now, self._retry_s)
        self._retry_s = min(AGAIN_S, 2 * self._retry_s)

    def credit(self) -> bytes | None:
        """Return what to send before waiting, if anything: what was taken allows more."""
        if self.state is not State.FOLLOWING:
            return None
        messages = self._taken_messages + self._window_messages
        allowed = self._taken_bytes + self._window_bytes
        if (
            messages - self._granted_messages >= max(1, self._window_messages // 2)
            or allowed - self._granted_bytes >= self._window_bytes // 4
            # It says no more after a few unanswered words; and its ledger shows what has arrived.
            or self._alive
        ):
            self._granted_messages, self._granted_bytes = messages, allowed
            return self._control(stream_wire.CREDIT)
        return None

    def leave(self) -> bytes | None:
        """Return the last word, if anybody is there to take it."""
        if self.state is not State.FOLLOWING:
            return None
        return self._control(stream_wire.LEAVE)

    def _control(self, kind: int) -> bytes:
        self._alive = False
        self._confirmed = self.following
        return stream_wire.control(
            kind, self._subscription, self._granted_messages, self._granted_bytes, self._confirmed
        )

    def _apart(self, now: float, seconds: float) -> None:
        self.state = State.APART
        self.due_at = now + seconds

    # ---- what comes

    def take(self, frames: Sequence[zmq.Frame], now: float) -> None:
        """Take a message of the connection on which the last ``ask`` was sent.

        Raises:
            RemoteError: SUBSCRIBE was answered with an error, and nothing was granted before.
            LaplaceError: the update holds arrays, and NumPy is not installed. It counts as lost.
        """
        assert not self.batch
        if self.state is State.APART or len(frames) < 2:
            return
        body = frames[1].bytes
        header = _core.stream_header(body)
        if header is None:
            if self.state is State.ASKING:
                self._take_answer(body, now)
            return
        kind, _, subscription, _, epoch, _, last = header
        if self.state is not State.FOLLOWING or subscription != self._subscription:
            return
        self._heard(now)
        if kind in stream_wire.WITH_UPDATES:
            self._taken_messages += 1
            self._taken_bytes += sum(map(len, frames)) - len(frames[0])
            if self._is_present(epoch):
                self._take_updates(header, body, frames[2:])
        elif kind == stream_wire.UNKNOWN:
            self._apart(now, 0.0)
        elif kind in (stream_wire.ALIVE, stream_wire.END):
            self._alive = True
            if self._is_present(epoch):
                self._last = max(self._last, last)
                if kind == stream_wire.END:
                    self._end_epoch(complete=True)

    def _take_answer(self, body: bytes, now: float) -> None:
        cmd = protocol.CMD_SUBSCRIBE
        try:
            payload = payload_of(body, cmd, self.address)
            try:
                numbers = (payload[key] for key in ("epoch", "next", "last"))
                epoch, following, last = map(_number, numbers)
            except (LookupError, TypeError, ValueError, OverflowError) as problem:
                text = f"This is no answer to SUBSCRIBE: {problem!r}"
                raise InvalidReply(text, cmd, self.address) from None
        except RemoteError as error:
            if not self.epoch:
                raise
            self._refused(str(error), now)
            return
        if not self.epoch:
            self._begin_epoch(epoch, following)
        elif not self._is_present(epoch):
            self._refused("it is the server that has ended", now)
            return
        elif self._subscription > 1:
            _log.info("%s follows on from update %d.", self._title(), self._position)
        self.state = State.FOLLOWING
        self._heard(now)
        self._retry_s, self._refusal = FIRST_RETRY_S, ""
        self._last = max(self._last, last)

    def _heard(self, now: float) -> None:
        self.due_at = now + SILENCE_S
        self._doubted = False

    def _refused(self, why: str, now: float) -> None:
        """Ask again later, for as long as it takes: the stream may not be declared yet."""
        if why != self._refusal:
            _log.warning("%s is refused, and asked for each second: %s", self._title(), why)
        self._refusal = why
        self._apart(now, AGAIN_S)

    def _take_updates(
        self, header: tuple[int, ...], body: bytes, frames: Sequence[zmq.Frame]
    ) -> None:
        _, _, _, count, epoch, first, last = header
        known = max(0, self._position - first)
        if known >= count:
            return
        following = first + count
        self._last = max(self._last, last, following - 1)
        try:
            datas = _datas_of(header, body, frames)
        except (LookupError, TypeError, ValueError, RecursionError) as problem:
            # Its numbers are missing, so they count as lost with the next that comes.
            _log.warning("%s: update %d cannot be read: %r", self._title(), first, problem)
            return
        lost = max(0, first - self._position)
        self.lost += lost
        self._lost += lost
        self._received += count - known
        self._position = following
        self.batch = _core.Updates(Update, body, datas, first, epoch, lost, known)

    # ---- epochs

    def _is_present(self, epoch: int) -> bool:
        """Say whether something belongs to the present life of the server; a new one begins it."""
        if epoch == self.epoch:
            return not self.server_ended
        if any(epoch == each.epoch for each in self._ended):
            return False
        if not self.server_ended:
            self._end_epoch(complete=False)
        self._begin_epoch(epoch, 1)
        return True

    def _begin_epoch(self, epoch: int, first: int) -> None:
        self.epoch = epoch
        self.server_ended = False
        self._first = self._position = first
        self._last = first - 1
        self._received = self._lost = 0

    def _end_epoch(self, *, complete: bool) -> None:
        """Count what is missing at the end: nobody will ever send it."""
        missing = max(0, self._last - self._position + 1)
        self._last = max(self._last, self._position - 1)
        self._position = self._last + 1
        self.lost += missing
        self._lost += missing
        self.server_ended = complete
        ended = EndedEpoch(
            self.epoch, self._first, self._received, self._lost, self._last, complete
        )
        self._ended.append(ended)
        _log.log(
            logging.INFO if complete and not self._lost else logging.WARNING,
            "%s: epoch %d ended at update %d: %d received, %d lost%s.",
            self._title(),
            self.epoch,
            self._last,
            self._received,
            self._lost,
            "" if complete else "; what came after it is not known",
        )

    def _title(self) -> str:
        return f"stream {self.stream!r} of {self.address}"


def _number(value: Any) -> int:
    number = int(value)
    if not 0 <= number < 2**64:
        raise ValueError(f"{number} does not fit into 64 bits")
    return number


def _datas_of(header: tuple[int, ...], body: bytes, frames: Sequence[zmq.Frame]) -> list[Any]:
    kind, count_arrays, _, count, _, _, _ = header
    if count_arrays != len(frames):
        raise ValueError(f"{len(frames)} arrays instead of {count_arrays}")
    text = _core.stream_text(body, count)
    decode = orjson.loads if kind == stream_wire.UPDATES else message_json.decoded
    if count_arrays:
        if count != 1:
            raise ValueError(f"{count} updates with arrays in one message")
        data, described = decode(text)
        return [arrays.put_at_paths(data, described, frames)]
    datas: list[Any] = decode(text)
    if len(datas) != count:
        raise ValueError(f"{len(datas)} updates instead of {count}")
    if set(map(type, datas)) != {dict}:
        raise ValueError("an update that is no object")
    return datas
