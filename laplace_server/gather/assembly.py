"""Puts updates of the same key together, without a socket, a clock or a thread.

Whoever drives it tells what comes (``take``), who is gone (``tell``), who is held up (``hold``,
``resume``), and asks for records (``pop``) and for when to ask again (``due``). Times are in
seconds of any clock that never goes back.

A record is over when of each source its update has come, or a later key; or when its time is over.
Records are given out in order of their keys. So an update whose key is not beyond those given out
finds no record: it is late, unless the keys begin anew. They do where all sources that say anything
do so, and at least one of them has gone back behind its own last key; until that is certain, such
updates are undecided.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from laplace_server.client.ledger import EndedEpoch
from laplace_server.client.subscription_reader import LOGGER_NAME
from laplace_server.client.updates import Update, weight_of
from laplace_server.gather.record import Reason, Record
from laplace_server.gather.source import Source
from laplace_server.wire.logs import Log

_OVERHEAD = 400  # bytes of an update beside its data
_TOLD_S = 60.0  # between two lines of the log about the same

log = Log(LOGGER_NAME)


class _Open:
    """A record that is not over yet."""

    def __init__(self, came_at: float) -> None:
        self.came_at = came_at
        self.updates: dict[str, Update] = {}
        self.weight = 0


class _Undecided(NamedTuple):
    """An update whose key is not beyond those given out."""

    source: Source
    key: int
    update: Update
    weight: int
    came_at: float
    number: int
    """How many updates had come by then."""


class Assembly:
    """The records of a gathering.

    Args:
        keys: of each source, by name, which value is the key.
        wait_s: how long a record waits from its first update on.
        most_bytes: how much may be held before sources are held up.
    """

    def __init__(self, keys: Mapping[str, str], wait_s: float, most_bytes: int) -> None:
        self.sources = {name: Source(name, key) for name, key in keys.items()}
        self.size = 0
        """Bytes of the updates that it holds, roughly."""
        self._wait_s = wait_s
        self._most_bytes = most_bytes
        self._open: dict[int, _Open] = {}
        self._keys: list[int] = []  # of those; the lowest is the first
        self._given: int | None = None  # the last key given out
        self._run = 0
        self._closed: deque[tuple[Record, int]] = deque()  # of a run that is over
        self._undecided: deque[_Undecided] = deque()
        self._count = 0  # of all updates
        self._placed = 0  # what it was when an update last found its record
        self._told: dict[tuple[str, str], float] = {}

    # ---- what comes

    def take(
        self, name: str, update: Update, ended: Sequence[EndedEpoch], more: bool, now: float
    ) -> None:
        """Take an update of a source.

        ``ended``: what its subscription tells of epochs. ``more``: the source has published more
        than this, so that it is not the source that is late.
        """
        source = self.sources[name]
        if more:
            source.counts_from = now
        self._count += 1
        key = source.key_of(update, ended)
        if key is None:
            source.without_key += 1
            self._tell("%s: update %d has no whole number as its key", source, now, update.seq)
            return
        last, source.last = source.last, key
        if key == last:
            source.repeated += 1
            return
        weight = _OVERHEAD + weight_of(update.data)
        self.size += weight
        if self._has_place(source, key):
            self._place(source, key, update, weight, now)
            return
        self._undecided.append(_Undecided(source, key, update, weight, now, self._count))
        source.undecided += 1
        source.behind = True
        source.went_back |= last is not None and key < last
        if all(each.behind or each.gone_at < math.inf for each in self.sources.values()):
            self._try_new_run()
        while self.size > self._most_bytes and len(self._undecided) > 1:
            self._drop(self._undecided.popleft(), now)

    def tell(self, name: str, gone: bool, now: float) -> None:
        """Say whether there is nobody to follow for a source."""
        source = self.sources[name]
        if not gone:
            source.gone_at = math.inf
        elif source.gone_at == math.inf:
            source.gone_at = now

    def wants(self, name: str, given: int = 0) -> bool:
        """Say whether there is room for an update of a source.

        There always is for what the oldest record waits for, unless whoever takes records has
        ``given`` bytes before him: so neither waits for the other.
        """
        if self.size + given < self._most_bytes:
            return True
        if given or not self._keys:
            return False
        key = self._keys[0]
        return name not in self._open[key].updates and not self.sources[name].has_passed(key)

    def hold(self, name: str) -> None:
        """A source has something, and there is no room for it: no record's time ends by that."""
        self.sources[name].counts_from = math.inf

    def resume(self, name: str, now: float) -> None:
        """There is room again, and its time begins now."""
        self.sources[name].counts_from = now

    # ---- records

    def pop(self, now: float) -> tuple[Record, int] | None:
        """Return the next record, with the bytes that it held; None: it is not over yet."""
        self._decide(now)
        if not self._closed:
            if not self._keys or self._over_at(self._keys[0]) > now:
                return None
            key = heapq.heappop(self._keys)
            self._close(key)
            self._given = key
            for source in self.sources.values():
                source.forget(key)
        record, weight = self._closed.popleft()
        self.size -= weight
        return record, weight

    def due(self) -> float:
        """Return when ``pop`` may have something, though nothing comes."""
        if self._closed:
            return -math.inf
        over_at = self._over_at(self._keys[0]) if self._keys else math.inf
        if self._undecided:
            return min(over_at, self._undecided[0].came_at + self._wait_s)
        return over_at

    def counts_time(self, now: float) -> bool:
        """Say whether a source is gone for which the others would still wait."""
        return any(now < each.gone_at + self._wait_s < math.inf for each in self.sources.values())

    def _over_at(self, key: int) -> float:
        record, over_at = self._open[key], -math.inf
        for name, source in self.sources.items():
            if name in record.updates or source.has_passed(key):
                continue
            since = max(record.came_at, source.counts_from)
            if since < math.inf:
                # Who was gone before has used up some of the time by then, or all of it.
                since = min(since, source.gone_at)
            over_at = max(over_at, since + self._wait_s)
        return over_at

    def _close(self, key: int, *, run_is_over: bool = False) -> None:
        record = self._open.pop(key)
        updates: dict[str, Update] = {}
        missing: dict[str, Reason] = {}
        for name, source in self.sources.items():
            if name in record.updates:
                updates[name] = record.updates[name]
            else:
                missing[name] = _reason(source, key, run_is_over)
        self._closed.append((Record(key, updates, missing, self._run), record.weight))

    # ---- which record an update belongs to

    def _has_place(self, source: Source, key: int) -> bool:
        record = self._open.get(key)
        if record is not None:
            return source.name not in record.updates
        return self._given is None or key > self._given

    def _place(self, source: Source, key: int, update: Update, weight: int, now: float) -> None:
        record = self._open.get(key)
        if record is None:
            record = self._open[key] = _Open(now)
            heapq.heappush(self._keys, key)
        record.updates[source.name] = update
        record.weight += weight
        source.place(key)
        source.gathered += 1
        self._placed = self._count

    def _decide(self, now: float) -> None:
        """Give up what has been undecided for too long, or see a new run in it."""
        while self._undecided and self._undecided[0].came_at + self._wait_s <= now:
            # Nobody else has gone on as before.
            if self._placed < self._undecided[0].number and self._try_new_run():
                return
            self._drop(self._undecided.popleft(), now)

    def _try_new_run(self) -> bool:
        if not any(each.source.went_back for each in self._undecided):
            return False
        for key in sorted(self._open):
            self._close(key, run_is_over=True)
        self._keys.clear()
        self._given = None
        self._run += 1
        for source in self.sources.values():
            source.begin_run()
        undecided, self._undecided = self._undecided, deque()
        for each in undecided:
            if self._has_place(each.source, each.key):
                each.source.undecided -= 1
                self._place(each.source, each.key, each.update, each.weight, each.came_at)
            else:
                self._drop(each, each.came_at)
        log.info("gather: the keys begin anew: run %d.", self._run)
        return True

    def _drop(self, each: _Undecided, now: float) -> None:
        each.source.undecided -= 1
        each.source.late += 1
        self.size -= each.weight
        self._tell("%s: key %d came too late for its record", each.source, now, each.key)

    def _tell(self, text: str, source: Source, now: float, *arguments: Any) -> None:
        """Log it, unless it was just before."""
        if now >= self._told.get((source.name, text), -math.inf) + _TOLD_S:
            self._told[source.name, text] = now
            log.warning(f"gather: {text}.", source.name, *arguments)


def _reason(source: Source, key: int, run_is_over: bool) -> Reason:
    if source.has_passed(key):
        return "lost" if source.has_lost(key) else "none"
    if run_is_over and source.behind:
        return "lost" if source.has_lost_since else "none"
    return "not yet" if source.gone_at == math.inf else "gone"
