"""What the messages to a subscription mean: the half of its protocol that reads.

A message stays in ``incoming`` until the ledger that counts it in has taken its place; so whatever
interrupts this, it can be read again.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias

from laplace_server import protocol
from laplace_server.client import _frames
from laplace_server.client.credit_window import Window
from laplace_server.client.ledger import Ledger, Life
from laplace_server.client.names import Found, Place
from laplace_server.client.requests import payload_of
from laplace_server.client.starts import Begin
from laplace_server.client.subscription_steps import FIRST_RETRY_S, Session, State
from laplace_server.client.updates import Batch, Header, Update, datas_of, no_updates
from laplace_server.errors import InvalidReply, LaplaceError, RemoteError
from laplace_server.wire.logs import Log

LOGGER_NAME = "laplace.client"

SILENCE_S = 2.5  # a server says something each second
AGAIN_S = 1.0  # between two attempts at most

_WITH_UPDATES = (_frames.UPDATES, _frames.LOOSE)
_NO_SUCH_STREAM = "No such stream"  # the begin of a server's words

Message: TypeAlias = Sequence[Any]
"""Buffers: an empty one, what a server sends to a subscriber, and arrays."""

NOT_YET = "%s is not followed yet, and waited for: %s"
NO_MORE = "%s is not followed any more, and waited for: %s"
REFUSED = "%s is refused, and asked for each second: %s"
# Of reasons told while it is not followed: some are in the server's words.
_MOST_REASONS = 16

log = Log(LOGGER_NAME)


class SubscriptionReader:
    """Reads ``incoming`` into the ledger, and knows whether the server has granted anything.

    Args:
        address, stream: as for ``ClientLHC.subscribe``.
        begin: where it begins.
        now: when it begins.
    """

    decodes = True
    """Its batches hold updates; else they are messages in some other form."""

    def __init__(self, address: str, stream: str, begin: Begin, now: float) -> None:
        self.address = address
        self.stream = str.__str__(stream) if isinstance(stream, str) else stream
        self._begin = begin
        self._begun_at = now
        self._patient = False
        self.place = Place(address)
        self.incoming: deque[tuple[int, Message] | Found] = deque()
        """What is to be read: messages with numbers that grow, and what a search has found."""
        self.batch = no_updates()
        """The updates that ``read`` has found."""
        self.missing = False
        """The server has said that there is no such stream, and has not granted it since."""
        self._ledger = Ledger(Life(), 1, 0, 0, 0, 0, 0, self.batch)
        self._session = Session(0, State.APART, Window(0, 0))
        self._searching = False
        self._retry_at = now
        self._retry_s = FIRST_RETRY_S
        # Why nobody was asked, as of the last attempt; "" where somebody was, or none was made.
        self._trouble = ""
        self._refusal = ""
        # Why it is not followed, as of the last attempt, and what of that was told since it was.
        self._why: str | None = None
        self._told: set[str] = set()

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    @property
    def state(self) -> State:
        return self._session.state

    @property
    def trouble(self) -> str | None:
        """Say why it is not followed, as of the last attempt; None: it is, or nobody knows."""
        return None if self._session.state is State.FOLLOWING else self._why

    def drop(self) -> None:
        """Take nothing more; whoever iterates over the batch comes to its end."""
        ledger = self._ledger
        self.batch = no_updates()
        self._ledger = ledger._replace(position=ledger.following, batch=self.batch)
        ledger.batch.drop()

    def _nobody(self, now: float) -> None:
        """Ask again; each time in a row it is later."""
        self._apart(now, self._retry_s)
        self._retry_s = min(AGAIN_S, 2 * self._retry_s)

    def _soon(self, now: float) -> None:
        """Ask again: at once, unless it was asked just before."""
        self._apart(now, max(0.0, self._session.asked_at + FIRST_RETRY_S - now))

    def _apart(self, now: float, seconds: float) -> None:
        self._retry_at = now + seconds
        self._session.state = State.APART

    # ---- what comes

    def read(self, now: float) -> bool:
        """Read what has come, up to the next updates; say whether there are some in ``batch``.

        Raises:
            RemoteError: SUBSCRIBE was answered with an error, and nothing was granted before. It is
                asked again later.
            LaplaceError: the update holds arrays, and NumPy is not installed. It counts as lost.
        """
        incoming = self.incoming
        while not self._ledger.batch:
            if not incoming:
                return False
            each = incoming[0]
            if isinstance(each, Found):
                self._take_found(each, now)
            elif each[0] > self._ledger.read and not (
                self.decodes and _frames.take_updates(self, *each, now + SILENCE_S, State.FOLLOWING)
            ):
                self._take(*each, now)
            incoming.popleft()
        self.batch = self._ledger.batch
        return True

    def _batch_of(
        self, header: Header, body: bytes, message: Message, lost_before: int, known: int
    ) -> Batch:
        """Return the updates of a message, but for the first ones, which are ``known``.

        Raises:
            LookupError, TypeError, ValueError, RecursionError: it cannot be read.
            LaplaceError: it holds arrays, and NumPy is not installed.
        """
        datas = datas_of(header, body, message[2:])
        return Batch(Update, body, datas, header[5], header[4], lost_before, known)

    def _take_found(self, found: Found, now: float) -> None:
        if not self._searching:
            return
        if self.place.take(found) is None:
            self._trouble = found.problem
            self._tell_why(found.problem)
            self._nobody(now)
        self._searching = False

    def _take(self, number: int, message: Message, now: float) -> None:
        session = self._session
        if session.state is not State.APART and len(message) > 1:
            body = bytes(message[1])
            header = _frames.stream_header(body)
            if header is None:
                if session.state is State.ASKING:
                    self._take_answer(number, body, now)
            elif session.state is State.FOLLOWING and header[2] == session.number:
                session.due_at = now + SILENCE_S
                session.doubted = False
                if header[0] in _WITH_UPDATES:
                    self._take_updates(number, header, body, message)
                    return
                self._take_word(header, now)
        self._has_read(number)

    def _take_word(self, header: Header, now: float) -> None:
        kind, _, _, _, epoch, _, last = header
        if kind == _frames.UNKNOWN:
            self._soon(now)
        elif kind in (_frames.ALIVE, _frames.END):
            self._session.must_answer = True
            ledger = self._of_life(epoch)
            if ledger is not None:
                ledger = ledger._replace(last=max(ledger.last, last))
                self._commit(ledger.end(complete=True) if kind == _frames.END else ledger)

    def _take_updates(self, number: int, header: Header, body: bytes, message: Message) -> None:
        _, _, _, count, epoch, first, last = header
        old = ledger = self._ledger
        messages = old.messages + 1
        size = old.size + sum(map(len, message)) - len(message[0])
        if epoch != old.life.epoch or old.life.over:
            present = self._of_life(epoch)
            if present is None:
                self._ledger = old._replace(messages=messages, size=size, read=number)
                return
            ledger = present
        life, position, lost, latest, _, _, _, batch = ledger
        latest = max(latest, last, first + count - 1)
        known = max(0, position - first)
        problem: Exception | None = None
        if known < count:
            lost_before = max(0, first - position)
            try:
                batch = self._batch_of(header, body, message, lost_before, known)
                position = first + count
                lost += lost_before
            except (LookupError, TypeError, ValueError, RecursionError, LaplaceError) as error:
                problem = error
        # One step: either all of the message counts, or nothing of it.
        new = life, position, lost, latest, messages, size, number, batch
        self._ledger = tuple.__new__(Ledger, new)  # Ledger(...) takes several times as long
        if ledger is not old:
            self._tell_ended(old.life)
        if isinstance(problem, LaplaceError):
            raise problem
        if problem is not None:
            # Its numbers are missing, so they count as lost with the next that comes.
            log.warning("%s: update %d cannot be read: %r", self._title(), first, problem)

    def _take_answer(self, number: int, body: bytes, now: float) -> None:
        self._session.useless = ""  # before anybody told of the handshake's end
        try:
            epoch, following, last, age_s = self._answer_of(body)
        except RemoteError as error:
            if self._may_come(error, now):
                return
            self._apart(now, AGAIN_S)
            self._has_read(number)
            raise
        session, ledger = self._session, self._ledger
        if not ledger.life.epoch:
            younger = self._begin.is_now and self._is_younger(age_s)
            if younger and following > 1:
                self._apart(now, 0.0)  # and ask for it from its first update on
                following = 1
            self._commit(self._begun(epoch, following))
        else:
            present = self._granted_life(epoch)
            if present is None:
                self._ask_later("it is the server that has ended", now)
                return
            self._commit(present)
            if session.number > 1:
                log.info("%s follows on from update %d.", self._title(), present.position)
        self._ledger = self._ledger._replace(last=max(self._ledger.last, last))
        self.missing = False
        self.place.worked()
        self._retry_s, self._refusal, self._trouble = FIRST_RETRY_S, "", ""
        self._why, self._told = None, set()
        if session.state is State.ASKING:
            session.due_at = now + SILENCE_S
            session.window = session.window.granted(now)
            session.state = State.FOLLOWING

    def _answer_of(self, body: bytes) -> tuple[int, int, int, float]:
        """Return epoch, number of the next update, number of the last, age in seconds."""
        cmd = protocol.CMD_SUBSCRIBE
        payload = payload_of(body, cmd, self.address)
        try:
            epoch, following, last = (_number(payload[key]) for key in ("epoch", "next", "last"))
            if not epoch:
                raise ValueError("no epoch is 0")
            # Servers that do not say it had declared the stream before anybody asked.
            age_s = float(payload.get("age_s", math.inf))
        except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as problem:
            text = f"This is no answer to SUBSCRIBE: {problem!r}"
            raise InvalidReply(text, cmd, self.address) from None
        return epoch, following, last, age_s

    def _is_younger(self, age_s: float) -> bool:
        """Say whether the stream was declared after this subscription began."""
        return self.missing or self._session.asked_at - age_s > self._begun_at

    def _may_come(self, error: RemoteError, now: float) -> bool:
        """Take a refusal; say whether it may go away by itself."""
        text = str(error)
        if self._ledger.life.epoch:
            self._ask_later(text, now)
            return True
        if not self._is_absence(error) or not _is_name(self.stream):
            return False
        self._tell_why(text, known=self.missing)
        self._refusal, self.missing = text, True
        self.place.worked()
        self._nobody(now)
        return True

    def _is_absence(self, error: RemoteError) -> bool:
        """Say whether an answer means that there is no such stream yet."""
        return type(error) is RemoteError and str(error).startswith(_NO_SUCH_STREAM)

    def _tell_why(self, why: str, how: str = NO_MORE, *, known: bool = False) -> None:
        """Note why it is not followed, and log each reason once until it is.

        What comes of the first try is not logged, but raised, or told by ``be_patient``.
        """
        self._why = why
        begun, told = self._ledger.life.epoch > 0, self._told
        if known or why in told or len(told) >= _MOST_REASONS or not (begun or self._patient):
            return
        told.add(why)
        log.warning(how if begun else NOT_YET, self._title(), why)

    def _ask_later(self, why: str, now: float) -> None:
        """For as long as it takes: the stream may not be declared yet."""
        self._tell_why(why, REFUSED)
        self._refusal = why
        self._apart(now, AGAIN_S)

    # ---- the ledger

    def _begun(self, epoch: int, following: int) -> Ledger:
        """Return the first ledger; another life of the server than the wanted one is a restart."""
        begin, ledger = self._begin, self._ledger
        if begin.epoch is None or begin.epoch == epoch:
            return ledger.begin(epoch, following)
        assert isinstance(begin.start, int)
        return ledger.begin(begin.epoch, begin.start).begin(epoch, 1)

    def _granted_life(self, epoch: int) -> Ledger | None:
        """Return the ledger to go on with when this life is granted; None: not with this one."""
        return self._of_life(epoch)

    def _of_life(self, epoch: int) -> Ledger | None:
        """Return the ledger of the life that something belongs to; None: it is over, or none."""
        ledger = self._ledger
        if epoch == ledger.life.epoch:
            return None if ledger.life.over else ledger
        # No life has epoch 0; a ledger that took it would forget those that are over.
        return None if not epoch or ledger.knows(epoch) else ledger.begin(epoch, 1)

    def _has_read(self, number: int) -> None:
        self._ledger = self._ledger._replace(read=number)

    def _commit(self, ledger: Ledger) -> None:
        old, self._ledger = self._ledger, ledger
        self._tell_ended(old.life)

    def _tell_ended(self, before: Life) -> None:
        """Log the life that has ended, if one has."""
        ended = self._ledger.life.ended
        if ended is before.ended:
            return
        each = ended[-1]
        log.log(
            logging.INFO if each.complete and not each.lost else logging.WARNING,
            "%s: epoch %d ended at update %d: %d received, %d lost%s.",
            self._title(),
            each.epoch,
            each.last,
            each.received,
            each.lost,
            "" if each.complete else "; what came after it is not known",
        )

    def _title(self) -> str:
        return f"stream {self.stream!r} of {self.address}"


def _is_name(stream: Any) -> bool:
    """Say whether a stream can be called so."""
    try:
        return isinstance(stream, str) and len(stream.encode()) > 0
    except UnicodeEncodeError:
        return False


def _number(value: Any) -> int:
    number = int(value)
    if not 0 <= number < 2**64:
        raise ValueError(f"{number} does not fit into 64 bits")
    return number
