"""Subscriptions for threads: to updates, and to packs of them."""

from __future__ import annotations

import itertools
import math
import os
import time
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

from laplace_server.client.leftovers import Leftovers
from laplace_server.client.packs import Pack, PackProtocol
from laplace_server.client.subscription import deadline_of
from laplace_server.client.sync.driver import ThreadDriver
from laplace_server.client.sync.takers import another_takes, calls
from laplace_server.client.updates import Update
from laplace_server.errors import ClientClosed

__all__ = ["PackSubscription", "Subscription"]

Taken = TypeVar("Taken", bound="Update | Pack")
Own = TypeVar("Own", bound="_Taking[Any]")


class _Taking(ThreadDriver, Generic[Taken]):
    """A subscription, whatever is taken from it."""

    def __init__(self, address: str, name: str, stream: str, **options: Any) -> None:
        super().__init__(address, name, stream, **options)
        self._closed = False
        try:
            self._settle(self._work(self._is_settled, time.monotonic() + self._timeout_s))
        except BaseException:
            self.close()
            raise

    # ---- updates

    def __iter__(self) -> Iterator[Taken]:
        # Whatever iterators there are share one batch, so none takes what another has taken.
        return itertools.chain.from_iterable(self._batches())

    def __next__(self) -> Taken:
        update, left = None, self._leftovers()
        try:
            for update in left or self._protocol.batch:
                return update  # type: ignore[no-any-return]
            left = self._left = None
            for update in self:
                return update
        except BaseException:
            if update is not None:  # and so not returned
                (left or self._protocol.batch).put_back(update)
            raise
        raise StopIteration

    def next(self, timeout: float | None = None) -> Taken:
        """Return the next update, waiting for it up to ``timeout`` seconds; None: for ever.

        Raises:
            TimeoutError: none came in time; its text has the ``trouble``, if there is some.
            ClientClosed: the subscription is closed, before or meanwhile, or it was made before
                this process was forked.
            RemoteError: the server refuses a subscription that it has not granted yet.
            LaplaceError: the update holds arrays, and NumPy is not installed.
            TypeError, ValueError: ``timeout`` is no number of seconds.
            RuntimeError: another thread is waiting for one.
        """
        deadline = deadline_of(timeout)
        update, left = None, self._leftovers()
        try:
            while True:
                for update in left or self._protocol.batch:
                    return update  # type: ignore[no-any-return]
                left = self._left = None
                self._fill(deadline)
        except BaseException:
            if update is not None:  # and so not returned
                (left or self._protocol.batch).put_back(update)
            raise

    def take(self, timeout: float | None = None) -> list[Taken]:
        """Return all updates that are there, in order; wait for one up to ``timeout`` seconds.

        There is one at least, and never more than ``credit_bytes`` and one update: what is left is
        for the next time.

        Raises:
            TimeoutError, and all others: as ``next``. What it had by then is not lost: whatever
                takes next begins with it.
        """
        deadline = deadline_of(timeout)
        kept = self._keep(self._leftovers(1))
        taken, followed = kept.updates, self._protocol
        taken.extend(followed.batch)
        while not taken:
            self._fill(deadline)
            taken.extend(followed.batch)
        reach, now = followed.on_the_way, time.monotonic()
        while followed.is_within(reach) and self._work(followed.read, now):
            taken.extend(followed.batch)
        try:
            self._left = None
            return taken
        except BaseException:
            # No signal handler runs between the two lines, but a debugger may raise there.
            if not self._closed:
                self._left = kept
            raise

    def _leftovers(self, own: int = 0) -> Leftovers | None:
        """Return what an interrupted ``take`` has left, but not what one has that goes on.

        ``own``: how many calls of ``take`` the caller itself is.
        """
        left = self._left
        if left is not None and calls(_Taking.take.__code__, self) > own:
            raise another_takes()
        return left

    def _fill(self, deadline: float) -> None:
        """Wait until the batch holds an update."""
        if not self._work(self._protocol.read, deadline):
            raise self._none_in_time()

    def _batches(self) -> Iterator[Iterator[Taken]]:
        while True:
            left = self._leftovers()
            if left is not None and left.count():
                yield iter(left)
                continue
            self._left = None
            try:
                self._fill(math.inf)
            except ClientClosed:
                if self._process != os.getpid():
                    raise
                return
            yield self._protocol.batch

    # ---- the end

    def close(self) -> None:
        """End the subscription, from any thread, also in a signal handler; again does nothing.

        A thread that waits in ``next`` gets ClientClosed, one that iterates comes to the end; what
        it has not taken yet, it does not get any more.
        """
        self._closed = True
        if self._process != os.getpid():
            return  # the connection is the parent's
        self._drop()
        self._end_or_wake()

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed and self._process == os.getpid():
            warnings.warn(f"{self!r} was not closed.", ResourceWarning, stacklevel=2, source=self)
            self.close()


class Subscription(_Taking[Update]):
    """An iterator over a stream's updates; made by ``ClientLHC.subscribe``.

    It goes on by itself after a broken connection, from the next update on, and after a restart of
    the server, with whatever its history holds. It ends when it is closed, and not before.

    One thread takes updates; any thread may ``close`` it and look at its properties. An exception
    out of a signal handler, such as Ctrl-C, leaves it usable, and loses no update.
    """


class PackSubscription(_Taking[Pack]):
    """The same, but it gives the updates of a message together and undecoded, as a ``Pack``.

    Made by ``ClientLHC.subscribe_packs``. ``lost``, ``ended`` and all others count updates.
    """

    def _new_protocol(self, *arguments: Any, **options: Any) -> PackProtocol:
        return PackProtocol(*arguments, **options)
