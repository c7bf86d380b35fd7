"""The lives of a recorded server: from each of its starts to its end, over all of its streams."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from laplace_server.client.updates import Update
from laplace_server.recording.stream_reader import Stream


class Span(NamedTuple):
    """What a stream has of one epoch."""

    epoch: int
    first: int
    """Number of the first update that was wanted."""
    last: int
    """That of the last one that there was."""
    begin: int
    end: int
    """Its rows are from ``begin`` to before ``end``."""
    lost_behind: int
    """Updates behind the last row that are lost."""
    ending: str
    """"ended", "broken off", or "" where the recording ends before; a word of the ledger."""
    noted: float
    """When its first row was written down, seconds since 1970."""


class Life(NamedTuple):
    """An epoch of a server."""

    epoch: int
    """0: it had one that nobody wrote down."""
    spans: dict[str, Span]
    """By stream."""


class Event(NamedTuple):
    """An update of a stream in a life."""

    time: float
    """When it is due; it never goes back."""
    life: int
    place: int
    """Of the stream; decides where times are the same."""
    stream: str
    update: Update
    lost_before: int


def spans_of(stream: Stream) -> list[Span]:
    """Return what a stream has of each epoch, in order."""
    spans: list[Span] = []
    begin = 0
    for epoch, group in itertools.groupby(stream.ledger, lambda row: row.epoch):
        rows = list(group)
        received = [row for row in rows if row.kind == "received"]
        end = begin + sum(row.last - row.first + 1 for row in received)
        last = max(row.last for row in rows)
        told = [row.kind for row in rows if row.kind in ("ended", "broken off")]
        numbered = [row for row in rows if row.kind in ("received", "lost")]
        first = min((row.first for row in numbered), default=last + 1)
        have = max((row.last for row in received), default=first - 1)
        ending = told[-1] if told else ""
        spans.append(Span(epoch, first, last, begin, end, last - have, ending, rows[0].time))
        begin = end
    return spans


def lives_of(streams: Mapping[str, Stream]) -> list[Life]:
    """Return the lives of a server in order: all that streams have of an epoch is one."""
    waiting = {name: deque(spans_of(stream)) for name, stream in streams.items()}
    lives = []
    while heads := {name: spans[0] for name, spans in waiting.items() if spans}:
        behind = {
            each.epoch for spans in waiting.values() for each in itertools.islice(spans, 1, None)
        }
        # What comes later in another stream has to wait for what is before it there.
        free = [span for span in heads.values() if span.epoch not in behind]
        epoch = min(free or heads.values(), key=lambda span: span.noted).epoch
        spans = {name: span for name, span in heads.items() if span.epoch == epoch}
        for name in spans:
            waiting[name].popleft()
        lives.append(Life(epoch, spans))
    _let_them_come_again(lives)
    return lives


def _let_them_come_again(lives: list[Life]) -> None:
    """Have streams that were broken off in a life after that, too: so it was known to be over."""
    last = {name: number for number, life in enumerate(lives) for name in life.spans}
    for name, number in last.items():
        span = lives[number].spans[name]
        if span.ending == "broken off":
            if number + 1 == len(lives):
                lives.append(Life(0, {}))
            again = lives[number + 1]
            again.spans[name] = Span(again.epoch, 1, 0, span.end, span.end, 0, "", span.noted)


def events_of(streams: Mapping[str, Stream], lives: list[Life]) -> Iterator[Event]:
    """Yield the updates of a server, a life after the other, each in the order of their times."""
    latest = -math.inf
    for number, life in enumerate(lives):
        timed = (
            _timed(number, place, streams[name], span)
            for place, (name, span) in enumerate(life.spans.items())
        )
        for event in heapq.merge(*timed):
            latest = max(latest, event.time)
            yield event._replace(time=latest)


def _timed(life: int, place: int, stream: Stream, span: Span) -> Iterator[Event]:
    """Yield updates with times that never go back, so that merging keeps their order."""
    latest, last = -math.inf, span.first - 1
    for update in stream.updates(span.begin, span.end):
        if update.seq > last:
            latest = max(latest, update.timestamp)
            yield Event(latest, life, place, stream.name, update, update.seq - last - 1)
            last = update.seq
