"""Follows one stream, in a thread, and puts what comes into the intake."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import zmq

from laplace_server.client.ledger import EndedEpoch
from laplace_server.client.starts import Start
from laplace_server.client.stream_source import StreamSource
from laplace_server.client.subscription import trouble_of
from laplace_server.client.sync.subscription import Subscription
from laplace_server.client.updates import Update, weight_of
from laplace_server.errors import LaplaceError
from laplace_server.protocol import LOGGER_NAME
from laplace_server.recording.intake import Batch, Intake
from laplace_server.recording.ledger import Ended
from laplace_server.recording.part import Origin
from laplace_server.wire.logs import Log

_WAIT_S = 0.2  # for updates, room, or what is to be done
_ROUND_S = 0.02  # what comes meanwhile comes together: a batch costs more than its updates
_RETRY_S = 1.0
_END_S = 0.5  # at the most, for what was published and has not come
_CREDIT_BYTES = 32 << 20
_MOST_LIVES = 20

NOT_FOLLOWED = "recorder: %s of %s is not followed: %s"

log = Log(LOGGER_NAME)


class Informant:
    """Asks one server what it is, once in each of its lives; followers share it."""

    def __init__(self, client: StreamSource) -> None:
        self.client = client
        self._lock = threading.Lock()
        self._of: dict[int, Mapping[str, Any]] = {}  # by epoch, the last few
        self.known: Mapping[str, Any] = {}
        """What INFO told last."""
        self._ask_at = 0.0

    def info(self, epoch: int) -> Mapping[str, Any]:
        """Return what INFO told in this life of the server, or last; {}: nothing yet."""
        with self._lock:
            if epoch not in self._of and time.monotonic() >= self._ask_at:
                try:
                    self.known = self.client._info_of(epoch)
                except (LaplaceError, zmq.ZMQError) as error:
                    log.warning("recorder: %s tells no INFO: %s", self.client.address, error)
                if self.known.get("epoch") == epoch:
                    self._of[epoch] = self.known
                    if len(self._of) > _MOST_LIVES:
                        del self._of[next(iter(self._of))]
                else:  # of another life, or none: it may come
                    self._ask_at = time.monotonic() + 5 * _RETRY_S
            return self._of.get(epoch, self.known)


class Follower(threading.Thread):
    """Takes updates from its start until ``end``; what was lost comes with them."""

    def __init__(self, informant: Informant, stream: str, start: Start, intake: Intake) -> None:
        super().__init__(name=f"recorder {stream}", daemon=True)
        self.origin = Origin(informant.client.address, stream)
        self.followed = threading.Event()
        """Set once the server has granted the subscription, or is known not to be there."""
        self._informant = informant
        self._start_at = start
        self._intake = intake
        self._ending = threading.Event()
        self._last: tuple[int, int] | None = None  # epoch and number of the last update taken
        self._noted: set[int] = set()  # epochs that are over, and told
        self._subscription: Subscription | None = None
        self._lost_before = 0  # by former subscriptions
        self._failure: str | None = None

    @property
    def lost(self) -> int:
        """Updates that are lost, as far as is known."""
        subscription = self._subscription
        return self._lost_before + (0 if subscription is None else subscription.lost)

    @property
    def trouble(self) -> str | None:
        """Why it is not followed at the moment; None: it is."""
        subscription = self._subscription
        if self._failure is not None or subscription is None:
            return self._failure
        return trouble_of(subscription)

    def end(self) -> None:
        """Take what there is, and end; waits for nothing."""
        self._ending.set()

    def run(self) -> None:
        """Follow. Called by ``start()`` in a thread of its own."""
        while True:  # once at least: what was published by now is wanted
            try:
                with self._informant.client.subscribe(
                    self.origin.stream, start=self._start_at, credit_bytes=_CREDIT_BYTES
                ) as subscription:
                    self._subscription, self._failure = subscription, None
                    self.followed.set()
                    try:
                        self._follow(subscription)
                    finally:
                        self._lost_before += subscription.lost
                        self._subscription = None
            except (LaplaceError, zmq.ZMQError) as error:
                self._fail(str(error))
            except Exception as error:
                log.exception("recorder: following %s of %s", *reversed(self.origin))
                self._fail(f"{type(error).__name__}: {error}")
            self.followed.set()
            if self._failure is not None:
                self._ending.wait(_RETRY_S)
            if self._ending.is_set():
                return

    def _fail(self, why: str) -> None:
        if why != self._failure:
            log.warning(NOT_FOLLOWED, *reversed(self.origin), why)
        self._failure = why

    def _follow(self, subscription: Subscription) -> None:
        end_by = math.inf
        while time.monotonic() < end_by:
            ending = self._ending.is_set()  # then, what was published by now
            if ending and end_by == math.inf:
                end_by = time.monotonic() + _END_S
            if not ending and not self._intake.wait_for_room(_WAIT_S):
                continue
            began = time.monotonic()
            try:
                updates = subscription.take(_ROUND_S if ending else _WAIT_S)
            except TimeoutError:
                self._put([], self._ended_before(subscription.ended, None))
            else:
                ended = subscription.ended
                for some in _by_epoch(updates):
                    over = self._ended_before(ended, some[0].epoch)
                    if over:
                        self._put([], over)
                    self._put(some, ())
                    self._start_at = self._last = some[-1].following
            if ending and not subscription.lag:
                return
            self._ending.wait(max(0.0, began + _ROUND_S - time.monotonic()))

    def _ended_before(self, ended: tuple[EndedEpoch, ...], epoch: int | None) -> tuple[Ended, ...]:
        """Return lives of the server that are over and not told yet, before this one."""
        found = []
        for each in ended:
            if each.epoch == epoch:  # the subscription may be further than what was taken
                break
            if each.epoch not in self._noted:
                self._noted.add(each.epoch)
                had = each.first - 1
                if self._last is not None and self._last[0] == each.epoch:
                    had = self._last[1]
                found.append(Ended(each.epoch, had, each.last, each.complete))
        return tuple(found)

    def _put(self, updates: list[Update], ended: tuple[Ended, ...]) -> None:
        if not updates and not ended:
            return
        informant = self._informant
        info = informant.info(updates[0].epoch) if updates else informant.known
        weight = sum(weight_of(update.data) for update in updates)
        self._intake.put(Batch(self.origin, info, updates, ended, weight))


def _by_epoch(updates: list[Update]) -> Iterator[list[Update]]:
    begin = 0
    for index in range(1, len(updates)):
        if updates[index].epoch != updates[begin].epoch:
            yield updates[begin:index]
            begin = index
    yield updates[begin:]
