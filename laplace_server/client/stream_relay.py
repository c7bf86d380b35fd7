"""A thread that follows a stream for somebody who must not wait, such as a GUI thread.

What it has for the receiver lies here, bounded, until the receiver takes it. It rings once when
something is there and the receiver is ready, and not again before the receiver has taken that and
has said that it is ready for more: a slow receiver is never flooded.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import zmq

from laplace_server.client.starts import Start
from laplace_server.client.stream_source import StreamSource
from laplace_server.client.subscription import trouble_of
from laplace_server.client.sync.subscription import Subscription
from laplace_server.client.updates import Update, weight_of
from laplace_server.errors import ClientClosed, LaplaceError, RemoteError
from laplace_server.protocol import LOGGER_NAME
from laplace_server.wire.logs import Log
from laplace_server.wire.stacks import large_stacks

__all__ = ["Delivery", "Relay"]

log = Log(LOGGER_NAME)

_LONGEST_WAIT_S = 0.1  # until the end is noticed
_SILENCE_S = 2.0  # then the server is asked whether it is there
_ANSWER_S = 1.0  # and given this time to answer
_PAUSE_S = 0.5  # between two attempts to subscribe
_REFRESH_S = 0.05  # age at which what a busy receiver has not taken is replaced by newer
_MAX_BATCH = 4096
_EXIT_PATIENCE_S = 3.0


class Delivery(NamedTuple):
    """What a receiver takes at once."""

    updates: list[Update]
    """With ``latest_only``, one at most, whose ``lost_before`` counts all that were left out."""
    missed: int
    """Updates left out before and between them."""
    connected: bool
    failure: str | None
    """What went wrong last, if that has not been told yet."""


class Relay(threading.Thread):
    """Follows a stream from ``start()`` to ``end()``, whatever happens to the server.

    Args:
        client: whom to follow; closed at the end if it is ``own_client``.
        stream, start, latest_only, credit_bytes: as for ``ClientLHC.subscribe``.
        ring: called in this thread when there is something to take.
    """

    def __init__(
        self,
        client: StreamSource,
        stream: str,
        *,
        own_client: bool,
        start: Start,
        latest_only: bool,
        credit_bytes: int,
        ring: Callable[[], None],
    ) -> None:
        # A daemon, so that a program that forgets it can end; _end_all() waits for it then.
        super().__init__(name=f"{stream} relay", daemon=True)
        self._process = os.getpid()
        self._client = client
        self._own_client = own_client
        self._stream = stream
        self._begin_at = start
        self._latest_only = latest_only
        self._credit_bytes = credit_bytes
        self._ring = ring
        self._trouble: str | None = None  # of the subscription, though the server answers
        self._told: str | None = None  # the failure told last, while it lasts
        # With a reentrant lock: end() may be called by the garbage collector in any thread.
        self._changed = threading.Condition(threading.RLock())
        self._ending = False
        self._ready = True
        self._rung = False
        self._updates: list[Update] = []
        self._weight = 0  # bytes of the updates, roughly
        self._missed = 0
        self._lag = 0
        self._connected = False
        self._failure: str | None = None

    # ---- for the receiver

    def start(self) -> None:
        """Begin; once only, like any thread."""
        with large_stacks():
            super().start()

    def end(self) -> None:
        """End soon; waits for nothing. From any thread, any number of times."""
        self._ending = True
        if self._process != os.getpid():
            return  # a forked child has no such thread, and the lock may be held for ever
        with self._changed:
            self._changed.notify_all()
        if self._own_client:
            self._client.close()  # wakes a request under way

    @property
    def lag(self) -> int:
        """Updates published but not taken by the receiver, as far as is known."""
        return self._lag + len(self._updates)

    def take(self) -> Delivery | None:
        """Take what is there; None while the receiver has not said that it is ready."""
        with self._changed:
            if not self._ready:
                return None
            delivery = Delivery(self._updates, self._missed, self._connected, self._failure)
            self._updates, self._weight, self._missed = [], 0, 0
            self._failure = None
            self._ready = self._rung = False
            if not self._latest_only:  # there is room; a newest update is fetched when wanted
                self._changed.notify_all()
            return delivery

    def ready(self) -> bool:
        """Say that what was taken has been handled. True: there is more to take already."""
        with self._changed:
            self._ready = True
            self._changed.notify_all()
            return self._rung

    # ---- for the thread

    def run(self) -> None:
        """Follow. Called by ``start()`` in a thread of its own."""
        try:
            while not self._ending:
                subscription = self._subscribe()
                if subscription is not None:
                    with subscription:
                        self._forward(subscription)
        except ClientClosed as error:
            self._tell_state(False, str(error))
        except Exception as error:
            log.exception("The relay of %r at %s ends.", self._stream, self._client.address)
            self._tell_state(False, _text(error))
        finally:
            if self._own_client:
                self._client.close()

    def _subscribe(self) -> Subscription | None:
        """Try once; None after a pause where it was in vain."""
        try:
            subscription = self._client._subscribe_while(
                self._check_wanted,
                self._stream,
                start=self._begin_at,
                latest_only=self._latest_only,
                credit_bytes=self._credit_bytes,
            )
        except ClientClosed:
            raise
        except (LaplaceError, zmq.ZMQError, OSError) as error:
            self._tell_state(False, _text(error))
            self._pause(_PAUSE_S)
            return None
        self._tell_begun(subscription)
        return subscription

    def _tell_begun(self, subscription: Subscription) -> None:
        """Tell whether there is something to follow yet."""
        if subscription.epoch:
            self._tell_state(True)
        else:
            self._tell_state(False, str(subscription.absence()))

    def _check_wanted(self) -> None:
        if self._ending or self._client.closed:
            raise ClientClosed(f"The client of {self._client.address} is closed.")

    def _forward(self, subscription: Subscription) -> None:
        """Hand on what comes, until the end."""
        heard = time.monotonic()
        begun = subscription.epoch > 0
        trouble: str | None = None
        lost = 0
        while self._may_go_on():
            try:
                update = subscription.next(_LONGEST_WAIT_S)
            except TimeoutError:
                before, trouble = trouble, trouble_of(subscription)
                if not begun:
                    begun = subscription.epoch > 0
                    heard = time.monotonic()
                    self._tell_begun(subscription)
                elif before and not trouble:  # followed again
                    self._tell_state(True)
                    heard = time.monotonic()
                elif time.monotonic() - heard > _SILENCE_S:
                    self._ask(trouble)
                    heard = time.monotonic()
            except ClientClosed:
                raise
            except RemoteError as error:  # refused, and asked for again
                self._tell_state(False, _text(error))
            except (zmq.ZMQError, OSError) as error:  # no descriptors for another connection
                self._tell_state(False, _text(error))
                self._pause(_PAUSE_S)
            except Exception as error:
                # Of this one update, such as arrays where NumPy is missing. The subscription counts
                # it as lost before the next.
                self._tell_state(True, _text(error))
                self._pause(_LONGEST_WAIT_S)
            else:
                heard = time.monotonic()
                missed, lost = subscription.lost - lost, subscription.lost
                self._put(update, missed, subscription.lag)

    def _may_go_on(self) -> bool:
        """Wait while there is enough for the receiver; False at the end."""
        with self._changed:
            if not self._latest_only:
                # Not taken from the subscription, it is not confirmed either: the server waits.
                while not self._ending and (
                    len(self._updates) >= _MAX_BATCH or self._weight >= self._credit_bytes
                ):
                    self._changed.wait()
            elif (self._updates or not self._ready) and not self._ending:
                self._changed.wait(_REFRESH_S)
        return not self._ending

    def _put(self, update: Update, missed: int, lag: int) -> None:
        """Lay an update down for the receiver; ``missed`` before it, also in another epoch."""
        with self._changed:
            self._connected, self._told = True, None
            self._lag = lag
            self._missed += missed
            if self._latest_only:
                for replaced in self._updates:
                    self._missed += 1
                    if replaced.epoch == update.epoch:
                        left_out = replaced.lost_before + 1 + update.lost_before
                        update = update._replace(lost_before=left_out)
                self._updates = [update]
            else:
                self._updates.append(update)
                self._weight += weight_of(update.data)
            ring = self._must_ring()
        if ring:
            self._ring()

    def _ask(self, trouble: str | None) -> None:
        """Ask a silent server whether it is there and has the stream.

        ``trouble``: why the subscription does not go on.
        """
        before, self._trouble = self._trouble, None
        try:
            lacks = self._client._lacks(self._stream, min(_ANSWER_S, self._client.timeout_s))
        except ClientClosed:
            if not self._ending:
                raise
            return
        except (LaplaceError, zmq.ZMQError, OSError) as error:
            self._tell_state(False, _text(error))
            return
        if lacks:
            self._tell_state(False, f"{self._client.address} has no stream {self._stream!r}.")
        elif trouble is None:
            self._tell_state(True)
        else:
            # The server may be back, and the subscription have it yet to find out: so it counts
            # where it is the same at the next time.
            self._trouble = trouble
            if trouble == before:
                self._tell_state(False, trouble)

    def _tell_state(self, connected: bool, failure: str | None = None) -> None:
        with self._changed:
            if self._ending:
                return
            changed = connected != self._connected
            if failure is None:
                self._told = None
            elif failure != self._told:
                self._told = self._failure = failure
                changed = True
            self._connected = connected
            ring = changed and self._must_ring()
        if ring:
            self._ring()

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if not self._ending:
                self._changed.wait(seconds)

    def _must_ring(self) -> bool:
        """Whether the receiver waits for the bell. Called with the lock held."""
        first, self._rung = not self._rung, True
        return first and self._ready


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, LaplaceError) else f"{type(error).__name__}: {error}"


def _end_all() -> None:
    """No relay rings any more while Python ends."""
    relays = [each for each in threading.enumerate() if isinstance(each, Relay)]
    deadline = time.monotonic() + _EXIT_PATIENCE_S
    for relay in relays:
        relay.end()
    for relay in relays:
        with contextlib.suppress(RuntimeError):
            relay.join(max(0.0, deadline - time.monotonic()))


atexit.register(_end_all)
