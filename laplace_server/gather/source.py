"""One source of a gathering: how far it has come, and what of it is lost."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from laplace_server.client.ledger import EndedEpoch
from laplace_server.client.updates import Update

# Beyond so many places with losses, the two oldest become one: what lies between may be lost then.
MOST_LOSSES = 1000

# A float from here on may stand for several whole numbers.
_INEXACT_FROM = 2.0**53


class Source:
    """Told of each update of a stream, in order; times are those of whoever tells.

    Args:
        name: what it is called in records.
        key: which value of its updates is the key.
    """

    def __init__(self, name: str, key: str) -> None:
        self.name = name
        self._key = key
        self.gathered = self.undecided = 0
        self.late = self.repeated = self.without_key = 0
        self.last: int | None = None
        """Key of its last update."""
        self.position: int | None = None
        """Key of its last update in a record of this run: what is below will not come any more."""
        self.behind = False
        """Its last update is not beyond the keys that were given out."""
        self.went_back = False
        """Since its last update in a record, a key was below the one before."""
        self.gone_at = math.inf
        """Since when nobody is there to follow."""
        self.counts_from = -math.inf
        """Its time counts from then on; infinite while there is no room for what it has."""
        self._epoch = 0
        self._lost_here = 0  # in this epoch, before the updates that came
        self._loss = False  # since its last update in a record
        self._losses: deque[tuple[float, int]] = deque()  # keys beyond one and below another

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """Updates that are gathered, undecided, late, repeated, without a key: all that came."""
        return self.gathered, self.undecided, self.late, self.repeated, self.without_key

    def key_of(self, update: Update, ended: Sequence[EndedEpoch]) -> int | None:
        """Take note of an update; return its key, None: it has none.

        ``ended``: what is known of the lives of its server that are over.
        """
        self._loss |= self._follows_loss(update, ended)
        return _whole(update.data.get(self._key))

    def place(self, key: int) -> None:
        """Its last update becomes part of a record."""
        if self._loss:
            before = self.position
            self._losses.append((-math.inf if before is None or before > key else before, key))
            if len(self._losses) > MOST_LOSSES:
                (low, _), (_, high) = self._losses.popleft(), self._losses.popleft()
                self._losses.appendleft((low, high))
        self._loss = False
        self.position = key
        self.behind = self.went_back = False

    def has_passed(self, key: int) -> bool:
        return self.position is not None and self.position > key

    def has_lost(self, key: int) -> bool:
        """Say whether a key that it has passed may be lost."""
        return any(low < key < high for low, high in self._losses)

    @property
    def has_lost_since(self) -> bool:
        """Whether anything is lost since its last update in a record."""
        return self._loss

    def forget(self, key: int) -> None:
        """Nobody asks for this key any more, nor for lower ones."""
        while self._losses and self._losses[0][1] <= key + 1:
            self._losses.popleft()

    def begin_run(self) -> None:
        self.position = None
        self.behind = False
        self._losses.clear()

    def _follows_loss(self, update: Update, ended: Sequence[EndedEpoch]) -> bool:
        lost = update.lost_before > 0
        if update.epoch != self._epoch:
            lost |= self._has_lost_between(update.epoch, ended)
            self._epoch, self._lost_here = update.epoch, 0
        self._lost_here += update.lost_before
        return lost

    def _has_lost_between(self, epoch: int, ended: Sequence[EndedEpoch]) -> bool:
        """Say whether updates may be missing at the end of the present epoch, or in whole others.

        ``epoch``: the next one of which an update has come.
        """
        found = not self._epoch
        lost = False
        for each in ended:
            if each.epoch == epoch:  # the subscription may be further already
                break
            found |= each.epoch == self._epoch
            if found:
                known = self._lost_here if each.epoch == self._epoch else 0
                lost |= not each.complete or each.lost > known
        return lost or not found


def _whole(value: Any) -> int | None:
    """Return a whole number as int. Nothing else is a key: it must be found again exactly."""
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer() and abs(value) < _INEXACT_FROM:
        return int(value)
    return None
