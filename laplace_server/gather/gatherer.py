"""Follows all sources in an event loop, and lays records down for whoever takes them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections import deque
from collections.abc import Callable, Mapping

import zmq

from laplace_server.client.asyncio.subscription import AsyncSubscription
from laplace_server.client.starts import Start
from laplace_server.client.stream_source import AsyncStreamSource
from laplace_server.client.subscription import trouble_of
from laplace_server.client.subscription_reader import LOGGER_NAME
from laplace_server.errors import ClientClosed, LaplaceError
from laplace_server.gather.assembly import Assembly
from laplace_server.gather.clock import Clock
from laplace_server.gather.plan import Plan
from laplace_server.gather.record import Record, SourceStats
from laplace_server.wire.logs import Log

_LONGEST_TURN_S = 0.1  # of the loop; of a longer one, so much counts
_IN_A_TURN = 64  # updates of a source, before others have their turn
_QUIET_S = 0.5  # from one look to the next while nothing is due
_PAUSE_S = 0.5  # after a refusal, or without descriptors

log = Log(LOGGER_NAME)


class Gatherer:
    """Lives in one event loop; other threads may look at ``ready``, take from its left, and ask.

    Args:
        plan: what to gather.
        ring: called when there is something in ``ready``, or an end.
    """

    def __init__(self, plan: Plan, ring: Callable[[], object]) -> None:
        self.ready: deque[tuple[Record, int]] = deque()
        """Records to take, in order, with the bytes that they hold."""
        self.problem: Exception | None = None
        """What has ended it, if it was not the user."""
        self._plan = plan
        self._ring = ring
        keys = {name: each.key for name, each in plan.sources.items()}
        self._assembly = Assembly(keys, plan.wait_s, plan.most_bytes)
        longest_s = max(1e-3, min(_LONGEST_TURN_S, plan.wait_s / 4))
        self._clock = Clock(longest_s)
        self._beat_s = longest_s / 2
        self._weights: deque[int] = deque()  # of what is ready, as far as is known
        self._ready_bytes = 0
        self._subscriptions: dict[str, AsyncSubscription] = {}
        self._failures: dict[str, str] = {}
        self._followers: list[asyncio.Task[None]] = []
        self._held: dict[str, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looks = False  # soon
        self._ended = False
        self._end: asyncio.Future[None] | None = None

    async def begin(self, clients: Mapping[str, AsyncStreamSource]) -> None:
        """Subscribe to all sources at once, and follow them.

        Raises:
            RemoteError, ClientClosed: as ``AsyncClientLHC.subscribe``; then nothing is followed.
        """
        sources = self._plan.sources
        beginning = {
            name: asyncio.ensure_future(_subscribe(clients[name], each.stream, each.start))
            for name, each in sources.items()
        }
        try:
            await asyncio.gather(*beginning.values())
        except BaseException:
            for task in beginning.values():
                task.cancel()
            begun = await asyncio.gather(*beginning.values(), return_exceptions=True)
            for each in begun:
                if isinstance(each, AsyncSubscription):
                    await each.close()
            raise
        self._subscriptions = {name: task.result() for name, task in beginning.items()}
        self.look()
        self._followers = [
            asyncio.ensure_future(self._follow(name, each))
            for name, each in self._subscriptions.items()
        ]

    async def end(self) -> None:
        """Follow nothing any more; again does nothing."""
        self._ended = True
        followers, self._followers = self._followers, []
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        for task in followers:
            with contextlib.suppress(RuntimeError):  # its loop has ended before
                task.cancel()
        ending = [task for task in followers if task.get_loop() is loop]
        ending += [asyncio.ensure_future(each.close()) for each in self._subscriptions.values()]
        if ending:
            await asyncio.wait(ending)  # who is cancelled here leaves them to end by themselves

    def abandon(self, loop: asyncio.AbstractEventLoop) -> None:
        """End it soon, without anybody to wait for that; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended before
            loop.call_soon_threadsafe(self._begin_end)

    @property
    def holds_up(self) -> bool:
        """Whether a source is held up: then ``look`` is to be called for what has been taken."""
        return bool(self._held)

    def stats(self) -> dict[str, SourceStats]:
        """Return what became of each source's updates; from any thread."""
        return {name: self._stats_of(name) for name in self._plan.sources}

    def trouble_of(self, name: str) -> str | None:
        """Say why a source is not followed; None: it is, or nobody knows."""
        subscription = self._subscriptions.get(name)
        failure = self._failures.get(name)
        if failure is not None or subscription is None:
            return failure
        return trouble_of(subscription)

    @property
    def troubles(self) -> str:
        """All of these, for a person; "" where there is none."""
        told = ((name, self.trouble_of(name)) for name in self._plan.sources)
        return "; ".join(f"{name}: {why}" for name, why in told if why is not None)

    # ---- in the loop

    def _begin_end(self) -> None:
        self._end = asyncio.ensure_future(self.end())  # kept, or else it could be collected

    def look(self) -> None:
        """Lay down what is over by now, and let sources go on where there is room."""
        self._looks = False
        if self._ended:
            return
        now, assembly = self._clock.now(), self._assembly
        for name in self._subscriptions:
            assembly.tell(name, self.trouble_of(name) is not None, now)
        found = False
        while (closed := assembly.pop(now)) is not None:
            self._weights.append(closed[1])
            self._ready_bytes += closed[1]
            self.ready.append(closed)
            found = True
        if found:
            self._ring()
        for name, waiting in self._held.items():
            if not waiting.done() and self._has_room(name):
                waiting.set_result(None)
        self._set_timer(now)

    def _look_soon(self) -> None:
        """Look once for all updates of a turn of the loop."""
        if not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_soon(self.look)

    def _set_timer(self, now: float) -> None:
        loop, assembly = asyncio.get_running_loop(), self._assembly
        due = assembly.due()
        if due < math.inf or assembly.counts_time(now):
            seconds = min(max(0.0, due - now), self._beat_s)
        else:
            seconds = _QUIET_S  # a source may go, and its time begins when that is seen
        if self._timer is not None:
            if self._timer.when() <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._beat)

    def _beat(self) -> None:
        self._timer = None
        self.look()

    async def _follow(self, name: str, subscription: AsyncSubscription) -> None:
        try:
            for n in itertools.count(1):
                if n % _IN_A_TURN == 0:
                    await asyncio.sleep(0)
                try:
                    update = await subscription.next()
                except ClientClosed:
                    return
                except (LaplaceError, zmq.ZMQError, OSError) as error:
                    # Refused, and asked for again; no descriptors; arrays where NumPy is missing.
                    self._fail(name, error)
                    await asyncio.sleep(_PAUSE_S)
                    continue
                self._failures.pop(name, None)
                await self._room_for(name)
                ended, more = subscription.ended, subscription.lag > 0
                self._assembly.take(name, update, ended, more, self._clock.now())
                self._look_soon()
        except Exception as error:
            log.exception("gather: %s cannot be gathered any more.", name)
            self.problem = error
            self._ring()

    async def _room_for(self, name: str) -> None:
        assembly = self._assembly
        if self._has_room(name):
            return
        assembly.hold(name)
        self._look_soon()  # what is over by now makes room
        try:
            while True:
                self._held[name] = asyncio.get_running_loop().create_future()
                # Whoever has taken something before this has not seen it.
                if self._has_room(name):
                    break
                await self._held[name]
        finally:
            del self._held[name]
        assembly.resume(name, self._clock.now())

    def _has_room(self, name: str) -> bool:
        while len(self._weights) > len(self.ready):
            self._ready_bytes -= self._weights.popleft()
        return self._assembly.wants(name, self._ready_bytes)

    def _fail(self, name: str, error: Exception) -> None:
        text = str(error) if isinstance(error, LaplaceError) else f"{type(error).__name__}: {error}"
        if self._failures.get(name) != text:
            log.warning("gather: %s: %s", name, text)
        self._failures[name] = text
        self.look()

    def _stats_of(self, name: str) -> SourceStats:
        source, subscription = self._assembly.sources[name], self._subscriptions.get(name)
        counts = source.counts  # they may change meanwhile; what is told adds up all the same
        return SourceStats(
            sum(counts),
            *counts,
            lost=0 if subscription is None else subscription.lost,
            trouble=self.trouble_of(name),
        )


async def _subscribe(client: AsyncStreamSource, stream: str, start: Start) -> AsyncSubscription:
    return await client.subscribe(stream, start=start)
