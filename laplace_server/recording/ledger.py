"""What a file has of a stream, and what is missing: numbers in the order they were published."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np

from laplace_server.client.updates import Update
from laplace_server.recording.rows import Rows

RECEIVED, LOST, ENDED, BROKEN_OFF = range(1, 5)
KINDS = {"received": RECEIVED, "lost": LOST, "ended": ENDED, "broken off": BROKEN_OFF}
_NAMES = {number: name for name, number in KINDS.items()}

DTYPE = np.dtype(
    [
        ("epoch", "<u8"),
        ("first", "<u8"),
        ("last", "<u8"),
        ("kind", h5py.enum_dtype(KINDS, "u1")),
        ("time", "<f8"),
    ]
)
_CHUNK_ROWS = 256


class LedgerRow(NamedTuple):
    """Some numbers of one epoch, from ``first`` to ``last``."""

    epoch: int
    first: int
    last: int
    kind: str
    """"received"; "lost", so not in the file; "ended", the server said that ``last`` is its last;
    "broken off", the epoch is over without a word, and what came behind ``last`` is not known."""
    time: float
    """When this was written down first, seconds since 1970."""


class Ended(NamedTuple):
    """A life of a server that is over."""

    epoch: int
    had: int
    """Number of the last update that was taken, or that was not wanted any more."""
    last: int
    """Number of the last update that the server told of."""
    complete: bool
    """Whether the server said that it is the last."""


class LedgerWriter:
    """Keeps a ledger's dataset."""

    def __init__(self, group: h5py.Group, name: str) -> None:
        self._stored = Rows(group, name, DTYPE, together=_CHUNK_ROWS)
        self._rows: list[list[Any]] = []  # from _first on: the last one written may still grow
        self._first = 0

    def take(self, updates: Sequence[Update]) -> None:
        """Count updates in, with what was lost before them."""
        now = time.time()
        for update in updates:
            epoch, seq, lost = update.epoch, update.seq, update.lost_before
            last = self._rows[-1] if self._rows else None
            if lost:
                self._lose(epoch, seq - lost, seq - 1, now)
            elif last and last[3] == RECEIVED and last[0] == epoch and last[2] == seq - 1:
                last[2] = seq
                continue
            self._rows.append([epoch, seq, seq, RECEIVED, now])

    def end(self, ended: Ended) -> None:
        """Note that a life of the server is over, and what it had published last."""
        now = time.time()
        if ended.had < ended.last:
            self._lose(ended.epoch, ended.had + 1, ended.last, now)
        kind = ENDED if ended.complete else BROKEN_OFF
        self._rows.append([ended.epoch, ended.last, ended.last, kind, now])

    def _lose(self, epoch: int, first: int, last: int, now: float) -> None:
        self._rows.append([epoch, first, last, LOST, now])

    def write(self) -> None:
        """Write what is new; the last row is kept, since it may grow."""
        if not self._rows:
            return
        self._stored.write(self._first, np.array([tuple(row) for row in self._rows], DTYPE))
        self._first, self._rows = len(self._stored) - 1, self._rows[-1:]


def ledger_of(rows: Any) -> list[LedgerRow]:
    """Return rows as they are in a file."""
    return [
        LedgerRow(int(epoch), int(first), int(last), _NAMES[int(kind)], float(noted))
        for epoch, first, last, kind, noted in rows.tolist()
    ]


def received_by(ledger: Sequence[LedgerRow]) -> int:
    """Return how many updates a ledger says are in the file."""
    return sum(row.last - row.first + 1 for row in ledger if row.kind == "received")


def cut(ledger: Sequence[LedgerRow], updates: int) -> list[LedgerRow]:
    """Return the rows up to so many updates: more of them are not in the file yet."""
    kept = []
    for row in ledger:
        if not updates:
            break
        if row.kind == "received":
            row = row._replace(last=min(row.last, row.first + updates - 1))
            updates -= row.last - row.first + 1
        kept.append(row)
    return kept


def grown(ledger: Sequence[LedgerRow], seq: Any, epoch: Any, timestamp: Any) -> list[LedgerRow]:
    """Return the rows with those of further updates, which are in the file, but not told there."""
    rows = list(ledger)
    for number, life, noted in zip(seq.tolist(), epoch.tolist(), timestamp.tolist(), strict=True):
        last = rows[-1] if rows else None
        if last is not None and last.epoch == life:
            if last.kind == "received" and last.last == number - 1:
                rows[-1] = last._replace(last=number)
                continue
            if last.last < number - 1:
                rows.append(LedgerRow(life, last.last + 1, number - 1, "lost", noted))
        rows.append(LedgerRow(life, number, number, "received", noted))
    return rows


def losses_before(ledger: Sequence[LedgerRow]) -> dict[tuple[int, int], int]:
    """Return how many updates are lost right before some, by epoch and number of these."""
    found = {}
    lost = 0
    for row in ledger:
        if row.kind == "lost":
            lost += row.last - row.first + 1
        elif row.kind == "received" and lost:
            found[row.epoch, row.first] = lost
            lost = 0
    return found


def continued(ledger: list[LedgerRow], more: list[LedgerRow]) -> list[LedgerRow]:
    """Return both, what was received without a break as one row."""
    if ledger and more:
        before, after = ledger[-1], more[0]
        if (
            before.kind == after.kind == "received"
            and before.epoch == after.epoch
            and before.last + 1 == after.first
        ):
            return [*ledger[:-1], before._replace(last=after.last), *more[1:]]
    return [*ledger, *more]
