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

import itertools
import math
import os
import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from types import TracebackType

from laplace_server import names, protocol
from laplace_server.errors import ClientClosed, RequestTimeout
from laplace_server.followed import Followed
from laplace_server.follower import EndedEpoch, Follower, State, Update
from laplace_server.sockets import Context
from laplace_server.stream_connection import StreamConnection

# Until it is noticed that another thread has closed it, or that the connection is broken.
_LONGEST_WAIT_S = 0.05

__all__ = ["EndedEpoch", "Subscription", "Update"]


class Subscription(Followed):
    """An iterator over a stream's updates; made by ``ClientLHC.subscribe``.

    It goes on by itself after a broken connection, from the next update on, and after a restart of
    the server, with whatever its history holds. It ends when it is closed, and not before.

    One thread takes updates; any thread may ``close`` it and look at its properties.
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
        check: Callable[[], None],
    ) -> None:
        super().__init__(
            Follower(
                address,
                name,
                stream,
                start=start,
                latest_only=latest_only,
                credit_bytes=credit_bytes,
            )
        )
        # Re-entrant, since close() may run in a signal handler.
        self._gate = threading.RLock()
        self._receiving = False
        # Its own, so that streams do not share an I/O thread.
        self._context = Context()
        self._connection: StreamConnection | None = None
        # What a search found, or None when this is closed.
        self._mail: queue.SimpleQueue[names.Found | None] = queue.SimpleQueue()
        self._searching = False
        self._closed = False
        try:
            self._begin(timeout_s, check)
        except BaseException:
            self.close()
            raise

    # ---- updates

    def __iter__(self) -> Iterator[Update]:
        # Whatever iterators there are share one batch, so none takes what another has taken.
        return itertools.chain.from_iterable(self._batches())

    def __next__(self) -> Update:
        for update in self._follower.batch:
            return update
        try:
            return self.next()
        except ClientClosed:
            self._check_process()
            raise StopIteration from None

    def next(self, timeout: float | None = None) -> Update:
        """Return the next update, waiting for it up to ``timeout`` seconds; None: for ever.

        Raises:
            TimeoutError: none came in time.
            ClientClosed: the subscription is closed, before or meanwhile, or it was made before
                this process was forked.
            LaplaceError: the update holds arrays, and NumPy is not installed.
            RuntimeError: another thread is waiting for one.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            for update in self._follower.batch:
                return update
            self._fill(deadline)

    def _batches(self) -> Iterator[Iterator[Update]]:
        while True:
            try:
                self._fill(None)
            except ClientClosed:
                self._check_process()
                return
            yield self._follower.batch

    # ---- the end

    def close(self) -> None:
        """End the subscription, from any thread, also in a signal handler; again does nothing.

        A thread that waits in ``next`` gets ClientClosed, one that iterates comes to the end; what
        it has not taken yet, it does not get any more.
        """
        if self._closed:
            return
        if self._process != os.getpid():
            self._closed = True  # the connection is the parent's
            return
        with self._gate:
            self._closed = True
            self._follower.drop_batch()
            self._mail.put(None)
            if not self._receiving:  # else the one who is will see it
                self._dispose()

    def __enter__(self) -> Subscription:
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

    def __repr__(self) -> str:
        state = " closed" if self._closed else ""
        return f"<Subscription to {self.stream!r} of {self._follower.address}{state}>"

    # ---- inside

    def _begin(self, timeout_s: float, check: Callable[[], None]) -> None:
        """Wait for the server's word; ``check``, called meanwhile, raises where to give up.

        Raises:
            RequestTimeout, RemoteError, InvalidReply: as a request.
        """
        deadline = time.monotonic() + timeout_s
        self._enter()
        try:
            while self._follower.state is not State.FOLLOWING:
                self._receive(deadline, check)
        except TimeoutError:
            address = self._follower.address
            why = self._why_nobody(self._connection, self._searching)
            raise RequestTimeout(protocol.CMD_SUBSCRIBE, address, timeout_s, why) from None
        finally:
            self._leave()

    def _fill(self, deadline: float | None) -> None:
        """Wait until the batch holds an update."""
        if self._follower.batch:
            return
        self._enter()
        try:
            while not self._follower.batch:
                self._receive(deadline)
        finally:
            self._leave()

    def _receive(self, deadline: float | None, check: Callable[[], None] | None = None) -> None:
        """Take a message, waiting for it; it may hold no updates."""
        follower = self._follower
        credit = follower.credit()
        if credit is not None and self._connection is not None:
            self._connection.send(credit)
        wait_s = _LONGEST_WAIT_S
        if self._connection is None and not self._searching:
            wait_s = 0.0
        elif deadline is not None:
            wait_s = min(wait_s, deadline - time.monotonic())
        while not self._closed:
            if check is not None:
                check()
            connection = self._connection
            if connection is None:
                self._wait(wait_s)
                now = time.monotonic()
            else:
                frames = connection.receive(wait_s)
                now = time.monotonic()
                if frames is not None:
                    if follower.state is State.ASKING:
                        self._place.worked()
                    follower.take(frames, now)
                    return
                if connection.has_broken(now):
                    self._gone(connection, now)
            if follower.is_due(now) and not self._searching:
                self._connect(now)
            if deadline is not None and now >= deadline:
                raise TimeoutError(f"no update of {self.stream!r} in time")
            until = math.inf if self._searching else follower.due_at
            if deadline is not None:
                until = min(until, deadline)
            wait_s = min(until - now, _LONGEST_WAIT_S)
        raise ClientClosed(f"{self!r} was closed.")

    def _connect(self, now: float) -> None:
        """Begin anew, with whoever is there now, as soon as it is known where."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._gone(connection, now)
            connection.close()
        endpoint = self._place.endpoint
        if endpoint is None:
            self._searching = True
            self._place.search(self._mail.put)
            return
        body = self._follower.ask(now)
        self._connection = StreamConnection(self._context, endpoint, self._place.patience_s)
        self._connection.send(body)

    def _wait(self, seconds: float) -> None:
        """Wait for what a search finds, or until it is time to search again."""
        try:
            found = self._mail.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return
        if found is not None:
            self._searching = False
            self._take_found(found, time.monotonic())

    def _after_fork(self) -> None:
        self._follower.drop_batch()
        self._context.term()  # of another process: nothing but a note that it is closed

    def _enter(self) -> None:
        """Be the one who uses the sockets."""
        self._check_process()
        with self._gate:
            if self._receiving:
                raise RuntimeError("Another thread takes updates of this subscription.")
            # First: so either close() sees it or it sees close(), in a signal handler here.
            self._receiving = True
            if self._closed:
                self._receiving = False
                raise ClientClosed(f"{self!r} is closed.")

    def _leave(self) -> None:
        with self._gate:
            self._receiving = False
            if self._closed:
                self._follower.drop_batch()
                self._dispose()

    def _dispose(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close(self._follower.leave())
        finally:
            self._context.destroy(linger=0)
