"""What a subscription knows of itself, however it waits."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any

from laplace_server import protocol
from laplace_server.client import forked_clients
from laplace_server.client._frames import ClientKeys
from laplace_server.client.ledger import EndedEpoch
from laplace_server.client.leftovers import Leftovers
from laplace_server.client.names import Found
from laplace_server.client.not_copied import NotCopied
from laplace_server.client.stream_connection import BaseStreamConnection
from laplace_server.client.subscription_protocol import SubscriptionProtocol
from laplace_server.client.subscription_steps import Connect, Search, Send, State
from laplace_server.errors import ClientClosed, RemoteError, RequestTimeout


def deadline_of(timeout: float | None) -> float:
    """Return until when to wait; raise TypeError or ValueError where that is no time."""
    if timeout is None:
        return math.inf
    try:
        deadline = time.monotonic() + timeout
    except TypeError:
        text = f"'timeout' must be a number of seconds or None, not {type(timeout).__name__}."
        raise TypeError(text) from None
    except OverflowError:  # an int beyond all floats
        deadline = math.nan
    if math.isnan(deadline):
        raise ValueError(f"'timeout' must be a number of seconds or None, not {timeout!r}.")
    return deadline


def trouble_of(subscription: BaseSubscription) -> str | None:
    """Return why nothing comes of it, also where its server has stopped; None: it may."""
    return subscription.trouble or ("its server has ended" if subscription.server_ended else None)


class BaseSubscription(NotCopied):
    """A subscription's properties; any thread may look at them."""

    _closed = True  # for __del__, until there is something to close
    _connection: BaseStreamConnection | None

    def __init__(
        self,
        address: str,
        name: str,
        stream: str,
        *,
        timeout_s: float,
        must: bool,
        check: Callable[[], None],
        keys: ClientKeys | None = None,
        **options: Any,
    ) -> None:
        """``must``: not being granted in time raises. ``check`` raises where not to begin."""
        self._protocol = self._new_protocol(address, name, stream, **options, now=time.monotonic())
        self._timeout_s, self._must = timeout_s, must
        self._check: Callable[[], None] | None = check  # until it has begun: it keeps the client
        self._keys = keys
        self._name = name
        self._left: Leftovers | None = None
        self._process = os.getpid()
        self._connection = None
        forked_clients.register(self)

    @property
    def stream(self) -> str:
        """Its name."""
        return self._protocol.stream

    @property
    def name(self) -> str:
        """What the subscriber is called in the server's ``stats()``."""
        return self._name

    @property
    def epoch(self) -> int:
        """Which life of the server the next update comes from, as far as is known."""
        return self._protocol.ledger.life.epoch

    @property
    def lost(self) -> int:
        """Updates lost so far, in all epochs; with ``latest_only``, skipped.

        Those are the ``lost_before`` of all updates, and what was missing where an epoch ended.
        """
        return self._protocol.ledger.lost_in_all

    @property
    def lag(self) -> int:
        """Updates that were published but not taken from here, as of the last message."""
        left = self._left
        return self._protocol.ledger.lag + (0 if left is None else left.count())

    @property
    def ended(self) -> tuple[EndedEpoch, ...]:
        """The last 100 lives of the server that are over, oldest first, with their ledgers."""
        return self._protocol.ledger.life.ended

    @property
    def server_ended(self) -> bool:
        """True while the server has said that it stops, and no other has come in its place."""
        return self._protocol.ledger.life.over

    @property
    def trouble(self) -> str | None:
        """Why it is not followed at the moment; None: it is, or the reason is not known yet."""
        return None if self._closed else self._protocol.trouble

    @property
    def closed(self) -> bool:
        """True once ``close()`` has been called."""
        return self._closed

    def __repr__(self) -> str:
        state = " closed" if self._closed else ""
        return f"<{type(self).__name__} to {self.stream!r} of {self._protocol.address}{state}>"

    # ---- for those who drive it

    def _new_protocol(self, *arguments: Any, **options: Any) -> SubscriptionProtocol:
        return SubscriptionProtocol(*arguments, **options)

    def _keep(self, left: Leftovers | None) -> Leftovers:
        """Return what a ``take`` adds to, with what is left: it stays here until it returns."""
        if left is None:
            kept = self._left = Leftovers()
        else:
            kept = Leftovers(left.rest())
            # At once, without a call: an iteration that has begun does not go on with the old ones.
            self._left, left.updates[:] = kept, ()
        if self._closed:
            self._drop()  # it was closed meanwhile
        return kept

    def _drop(self) -> None:
        """Take nothing more; whoever iterates comes to the end."""
        left, self._left = self._left, None
        if left is not None:
            left.drop()
        self._protocol.drop()

    def _none_in_time(self) -> TimeoutError:
        why = self.trouble
        return TimeoutError(f"no update of {self.stream!r} in time{f': {why}' if why else ''}")

    def _is_settled(self, now: float) -> bool:
        """Say whether it is granted, or known not to be for now."""
        followed = self._protocol
        if self._check is not None:
            self._check()
        followed.read(now)
        return followed.state is State.FOLLOWING or (followed.missing and not self._must)

    def absence(self) -> RemoteError | RequestTimeout:
        """Return why it has not been granted yet."""
        followed, cmd = self._protocol, protocol.CMD_SUBSCRIBE
        why = followed.why_not(time.monotonic())
        refused = RemoteError(str(why), cmd, followed.address) if followed.missing else None
        if refused is not None and not self._must:
            return refused
        why = why and why.removesuffix(".")
        late = RequestTimeout(cmd, followed.address, self._timeout_s, why)
        late.__cause__ = refused
        return late

    def _settle(self, in_time: bool) -> None:
        """Begin, with what there is.

        Raises:
            RequestTimeout: it was to be granted in time.
        """
        if self._must and not in_time:
            raise self.absence()
        if self._protocol.state is not State.FOLLOWING:
            self._protocol.be_patient(time.monotonic())
        self._check = None

    def _carry_out(self, step: Connect | Send | Search) -> None:
        followed = self._protocol
        if isinstance(step, Send):
            if self._connection is None or not self._connection.send(step.body):
                followed.broken()
            followed.sent(step)
        elif isinstance(step, Connect):
            if self._connection is None or self._connection.question is not step:
                self._connect(step)
            followed.asked(step, time.monotonic())
        else:
            self._connect(None)
            followed.place.search(self._teller())
            followed.searching()

    def _teller(self) -> Callable[[Found], object]:
        """Return what puts the result of a search into ``incoming``, from any thread."""
        raise NotImplementedError

    def _connect(self, question: Connect | None) -> None:
        """Close the connection there is, and open one that begins with the question."""
        raise NotImplementedError

    def _after_fork(self) -> None:
        """Let go of the parent's connection in a child."""
        raise NotImplementedError

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise ClientClosed(
                f"{self!r} was made before this process was forked, and is its parent's. "
                "Subscribe anew here."
            )
