"""Where in JetStream a start of a subscription is.

JetStream numbers messages, and subscriptions ask by epoch and number of updates. Records of an
epoch follow one another, so both are found by halving. Epochs have no order but that of JetStream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from laplace_server.relay.connection import EngineError
from laplace_server.relay.jetstream import Ends, JetStream, Stored
from laplace_server.relay.records import Kind

_MOST_STEPS = 1000  # back to an update, over what holds none


class Beginning(NamedTuple):
    """Where to begin, and what a server would say of it."""

    seq: int
    """Of the first message to read."""
    epoch: int
    next: int
    """Number of the first update wanted."""
    last: int
    """Number of the last update there is of this epoch, as far as was looked."""


async def find(jetstream: JetStream, start: str | int, epoch: int | None) -> Beginning | None:
    """Return where a start is; None: there is nothing yet.

    Args:
        start: as SUBSCRIBE has it.
        epoch: which a number belongs to; where it is not there, all that there is is wanted.

    Raises:
        EngineError: JetStream cannot say.
        ValueError: there is no such update yet.
    """
    ends = await jetstream.ends()
    last = await jetstream.last()
    first = None if ends is None else await jetstream.next(ends.first_seq)
    if ends is None or last is None or first is None:
        return None
    if start == "latest":
        return _behind(last)
    if start == "newest":
        return await newest(jetstream, last)
    if start == "oldest":
        return _at(first)
    assert isinstance(start, int)
    end: Stored | None = last
    while end is not None:
        begin = await _begin_of(jetstream, end, ends)
        if epoch in (None, end.id.epoch):
            is_over = end is not last or end.id.is_over
            return await _number(jetstream, start, begin, end, is_over)
        end = None
        if begin.seq > first.seq:
            end = await _before(jetstream, begin)
    return _at(first)


def _behind(last: Stored) -> Beginning:
    # The end of an epoch is read again: that tells that it is over.
    seq = last.seq if last.id.is_over else last.seq + 1
    return Beginning(seq, last.id.epoch, last.id.last + 1, last.id.last)


def _at(stored: Stored) -> Beginning:
    identity = stored.id
    cut_off = identity.piece is not None and identity.piece.number > 1
    number = identity.last + 1 if cut_off else identity.first
    return Beginning(stored.seq, identity.epoch, number, identity.last)


async def newest(jetstream: JetStream, last: Stored) -> Beginning:
    """Return where the newest update is; ``last``: the last message there is."""
    found: Stored | None = last
    for _ in range(_MOST_STEPS):
        if found is None or found.id.epoch != last.id.epoch:
            break
        if found.id.kind is Kind.UPDATES and found.id.is_complete:
            seq = found.seq - (found.id.piece.number - 1 if found.id.piece else 0)
            return Beginning(seq, found.id.epoch, found.id.last, last.id.last)
        found = await _before(jetstream, found)
    return _behind(last)


async def _number(
    jetstream: JetStream, number: int, begin: Stored, end: Stored, is_over: bool
) -> Beginning:
    """Return where an update is, in an epoch's messages from ``begin`` to ``end``."""
    last = end.id.last
    if number > last + 1 and not is_over:
        raise ValueError(f"the last update there is number {last} of epoch {end.id.epoch}")
    if number > last:
        return _behind(end)._replace(next=number)
    found = await _halve(jetstream, begin.seq, end, lambda each: each.id.last >= number)
    return Beginning(found.seq, end.id.epoch, number, last)


async def _begin_of(jetstream: JetStream, end: Stored, ends: Ends) -> Stored:
    """Return the first message of the epoch that ``end`` belongs to."""
    epoch = end.id.epoch
    return await _halve(jetstream, ends.first_seq, end, lambda each: each.id.epoch == epoch)


async def _halve(
    jetstream: JetStream, first_seq: int, end: Stored, is_behind: Callable[[Stored], bool]
) -> Stored:
    """Return the first message for which ``is_behind`` is true, as it is for all that follow it.

    Args:
        first_seq: where to look from.
        end: one for which it is true.
    """
    low, high, found = first_seq - 1, end.seq, end
    while high - low > 1:
        middle_seq = (low + high) // 2
        middle = await jetstream.next(middle_seq)
        if middle is None:
            raise EngineError("what was there is not there any more")
        if is_behind(middle):
            high, found = middle_seq, middle
        else:
            low = middle_seq
    return found


async def _before(jetstream: JetStream, stored: Stored) -> Stored | None:
    found = await jetstream.next(stored.seq - 1)
    return found if found is not None and found.seq < stored.seq else None
