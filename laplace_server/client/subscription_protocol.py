"""One subscription, without a socket, a clock or a thread: what to do, and what a message means.

Whoever drives it is told by ``todo`` what to do: open a connection, look a name up, send. It puts
what comes into ``incoming`` and has it read by ``read``, which fills ``batch``; it tells what
becomes of the connection (``made``, ``ready``, ``refused``, ``broken``) and when there is
``nothing`` to read; and it waits up to ``until``. A connection begins with a SUBSCRIBE of its own
and is never made again unseen: so what is no JSON goes only to a server that has granted the
subscription, on this very connection.

An exception may come out of a signal handler between any two steps here. So each step can be taken
again: a message stays in ``incoming`` until the ledger that counts it in has taken its place, and
what ``todo`` says holds until it is told that it is done.

Times are in seconds of a clock that never goes back.
"""

from __future__ import annotations

import json
import math

from laplace_server import protocol
from laplace_server.client import _frames
from laplace_server.client.credit_window import FEW, Window
from laplace_server.client.no_answer import SHORT_S
from laplace_server.client.starts import Start, begin_of
from laplace_server.client.subscription_reader import SubscriptionReader
from laplace_server.client.subscription_steps import (
    SEARCH,
    Connect,
    Search,
    Send,
    Session,
    State,
)
from laplace_server.wire import plain_values
from laplace_server.wire.whole_numbers import INT64_MAX, whole_number

DOUBT_S = 0.25  # to read what came while this process stood still
NO_ANSWER = "there is no answer"
ANSWER_S = 5.0  # the answer to SUBSCRIBE may have to wait for a callback there


class SubscriptionProtocol(SubscriptionReader):
    """One subscription from ``now`` on.

    Raises:
        TypeError, ValueError: ``start`` or ``credit_bytes`` is none that a server would take.
    """

    def __init__(
        self,
        address: str,
        name: str,
        stream: str,
        *,
        start: Start,
        latest_only: bool,
        credit_bytes: int,
        now: float,
    ) -> None:
        begin = begin_of(start)
        credit_bytes = whole_number("credit_bytes", credit_bytes, 1, INT64_MAX)
        super().__init__(address, stream, begin, now)
        self._request = _request(
            protocol.make_subscribe(
                name,
                address,
                stream=self.stream,
                subscription=0,
                start=begin.start,
                epoch=begin.epoch,
                messages=1 if latest_only else FEW,
                allowed_bytes=credit_bytes,
                latest_only=latest_only,
            )
        )
        payload = self._request["payload"]
        self._first_window = Window(payload["messages"], payload["bytes"])
        self._adapts = not latest_only
        self._question: Connect | None = None

    # ---- what users ask

    def why_not(self, now: float) -> str | None:
        """Say why it is not followed; None: somebody has the question, or has granted it."""
        if self.missing:
            return self._refusal
        session = self._session
        if session.state is State.ASKING:
            if self._trouble and not session.broken and now < session.begun_at + SHORT_S:
                return self._trouble
            trouble = session.trouble(self._trouble)
            return trouble and self.place.telling(trouble)
        return self._trouble or (self.place.pending if self._searching else None)

    def be_patient(self, now: float) -> None:
        """Log why it is not granted, and later each other reason: nobody raises it."""
        self._patient = True
        self._tell_why(self.why_not(now) or NO_ANSWER)

    # ---- what to do

    @property
    def until(self) -> float:
        """When to say that there was ``nothing``, at the latest."""
        session = self._session
        if session.state is State.APART:
            return math.inf if self._searching else self._retry_at
        if session.broken:
            return 0.0
        return session.due_at if session.taken else min(session.due_at, session.patience_until)

    def todo(self, now: float) -> Connect | Send | Search | None:
        """Say what to do before waiting. It holds until it is said to be done."""
        session = self._session
        if session.state is State.FOLLOWING:
            return self._credit(session, now) if self._allows_more(session) else None
        if session.state is State.ASKING or self._searching or now < self._retry_at:
            return None
        endpoint = self.place.endpoint
        if endpoint is None:
            return SEARCH
        question = self._question
        if question is None or question.session is session or question.endpoint != endpoint:
            self._question = question = self._ask(endpoint)
        return question

    def _ask(self, endpoint: str) -> Connect:
        ledger = self._ledger
        epoch = ledger.life.epoch
        number = self._session.number % 0xFFFFFFFF + 1
        session = Session(number, State.ASKING, self._first_window, endpoint)
        payload = {**self._request["payload"], "subscription": session.number}
        if epoch:
            payload |= {"start": ledger.following, "epoch": epoch}
        message = {**self._request, "payload": payload}
        return Connect(endpoint, json.dumps(message, separators=(",", ":")).encode(), session)

    def asked(self, question: Connect, now: float) -> None:
        """A connection is being made, and the question is what it will say first."""
        session = question.session
        session.begun_at = session.asked_at = now
        session.window = session.window.asked(now)
        session.due_at = now + ANSWER_S
        session.patience_until = now + self.place.patience_s
        self._ledger = self._ledger._replace(messages=0, size=0)
        self._session = session

    def searching(self) -> None:
        """A search has begun, and will put what it finds into ``incoming``."""
        self._searching = True

    def _allows_more(self, session: Session) -> bool:
        """Say whether what was taken is worth a word."""
        ledger, window = self._ledger, session.window
        messages, size = session.granted
        return not session.broken and (
            # All that is left on the way is less than half of what may be.
            2 * (messages - ledger.messages) <= window.messages
            or 4 * (size - ledger.size) <= 3 * window.size
            # It says no more after a few unanswered words; and its ledger shows what has arrived.
            or session.must_answer
        )

    def _credit(self, session: Session, now: float) -> Send:
        ledger, window, allowed = self._ledger, session.window, session.granted[0]
        if self._adapts:
            window = window.adapt(now, ledger.messages, allowed)
        # What was allowed is allowed, though the window has become smaller since.
        granted = max(allowed, ledger.messages + window.messages), ledger.size + window.size
        return Send(self._control(_frames.CREDIT, granted), granted, window, session)

    def sent(self, credit: Send) -> None:
        credit.session.granted = credit.granted
        credit.session.window = credit.window
        credit.session.must_answer = False

    @property
    def on_the_way(self) -> tuple[int, int]:
        """Up to where the messages reach that may be on their way by now.

        Number of the last, and bytes in all, as the ledger counts them.
        """
        messages, size = self._session.granted
        return self._ledger.read + messages - self._ledger.messages, size

    def is_within(self, reach: tuple[int, int]) -> bool:
        """Say whether what was taken does not reach so far yet."""
        return self._ledger.read < reach[0] and self._ledger.size < reach[1]

    def leave(self) -> bytes | None:
        """Return the last word, if anybody is there to take it."""
        session = self._session
        if session.state is not State.FOLLOWING or session.broken:
            return None
        return self._control(_frames.LEAVE, session.granted)

    def _control(self, kind: int, granted: tuple[int, int]) -> bytes:
        return _frames.stream_control(kind, self._session.number, *granted, self._ledger.following)

    # ---- what becomes of the connection

    def made(self, now: float) -> None:
        """Somebody took the connection: the server has the question from now on at the earliest."""
        session = self._session
        session.taken = True
        if session.state is State.ASKING:
            session.asked_at = now

    def ready(self) -> None:
        """The handshake is over, and the question leaves."""
        self._session.useless = ""

    def refused(self) -> None:
        """Nobody took it, and at once: nobody listens there."""
        self._session.refused = self._session.broken = True

    def broken(self, useless: str = "") -> None:
        """It is no more. What came before can still be read: then there is ``nothing``.

        ``useless``: why it was not yet one to ask on.
        """
        self._session.useless = useless
        self._session.broken = True

    def nothing(self, now: float) -> None:
        """All that had come by now is read."""
        session = self._session
        if session.state is State.APART:
            return
        if session.broken and session.state is State.FOLLOWING:
            self._soon(now)
        elif session.broken or (not session.taken and now >= session.patience_until):
            self._gone(session, now, at_once=False)
        elif now >= session.due_at:
            if session.state is State.FOLLOWING and not session.doubted:
                # Perhaps it was not the server that stood still.
                session.due_at = now + DOUBT_S
                session.doubted = True
            else:
                self._gone(session, now, at_once=True)

    def _gone(self, session: Session, now: float, at_once: bool) -> None:
        if session.state is State.ASKING:
            self._trouble = self.place.telling(session.trouble(self._trouble) or "")
            has_another = not at_once and bool(
                self._trouble and self.place.failed(session.endpoint)
            )
            # Where it broke before it was answered, that may have been the server's end.
            why = self._trouble or ("" if session.broken else NO_ANSWER)
            if why and not has_another:
                self._tell_why(why)
            at_once = at_once or has_another
        if at_once:
            self._apart(now, 0.0)
        else:
            self._nobody(now)


def _request(message: protocol.Message) -> protocol.Message:
    """Return a message of what JSON has; raise TypeError or ValueError where it cannot be sent."""
    try:
        json.dumps(message)
    except (TypeError, ValueError):  # nothing else, which may be a signal handler's
        return plain_values.plain(message)  # type: ignore[no-any-return]
    return message
