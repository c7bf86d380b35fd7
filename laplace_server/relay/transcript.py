"""Turns what a subscription tells into records: each number of an epoch is in one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from laplace_server.client.ledger import EndedEpoch
from laplace_server.client.packs import Pack
from laplace_server.relay.records import Kind, Record, RecordId, parts_of

MOST_UPDATES = 64
"""In a record of several messages; one message of the server may hold more."""
MOST_BYTES = 64 << 10


class Transcript:
    """Goes on behind a record, or begins.

    Args:
        last: the last record there is.
    """

    def __init__(self, last: RecordId | None) -> None:
        self._epoch, self._position = (0, 1) if last is None else last.following
        if last is not None:
            self._position += 1
        self._is_over = last is not None and last.is_over
        self._told: set[int] = {self._epoch} if self._is_over else set()
        self._joined: list[Pack] = []

    def take(self, packs: Iterable[Pack], ended: Sequence[EndedEpoch]) -> Iterator[Record]:
        """Give the records of what a subscription has brought.

        Args:
            packs: in order, and none left out.
            ended: of the subscription, which has no more updates of these epochs.
        """
        untold = [each for each in ended if each.epoch not in self._told]
        for pack in packs:
            if pack.epoch != self._epoch:
                yield from self._join()
                while untold and untold[0].epoch != pack.epoch:
                    yield from self._end(untold.pop(0))
                self._begin(pack)
            yield from self._take(pack)
        yield from self._join()
        for each in untold:
            yield from self._end(each)

    def _begin(self, pack: Pack) -> None:
        # What came before the first update of all that is relayed was never wanted.
        self._position = pack.first - pack.lost_before if self._epoch == 0 else 1
        self._epoch, self._is_over = pack.epoch, False

    def _take(self, pack: Pack) -> Iterator[Record]:
        if pack.lost_before:
            yield from self._join()
            lost = self._position + pack.lost_before - 1
            yield self._record(Kind.GAP, self._position, lost)
            self._position = lost + 1
        joined, size = self._joined, len(pack.frames[0])
        alone = len(pack.frames) > 1
        if joined and (
            alone
            or pack.last - joined[0].first >= MOST_UPDATES
            or sum(len(each.frames[0]) for each in joined) + size > MOST_BYTES
        ):
            yield from self._join()
        self._joined.append(pack)
        if alone:
            yield from self._join()

    def _join(self) -> Iterator[Record]:
        """Make a record of the packs that are held back."""
        if not self._joined:
            return
        last = self._joined[-1].last
        identity = RecordId(self._epoch, Kind.UPDATES, self._position, last)
        self._position = last + 1
        yield Record(identity, parts_of(pack.frames for pack in self._joined))
        self._joined = []

    def _end(self, ended: EndedEpoch) -> Iterator[Record]:
        self._told.add(ended.epoch)
        if ended.epoch != self._epoch:
            self._epoch, self._position, self._is_over = ended.epoch, ended.first, False
        if not self._is_over:
            kind = Kind.END if ended.complete else Kind.CUT
            last = max(ended.last, self._position - 1)
            yield self._record(kind, self._position, last)
            self._position, self._is_over = last + 1, True

    def _record(self, kind: Kind, first: int, last: int) -> Record:
        return Record(RecordId(self._epoch, kind, first, last))
