"""What was sent to JetStream and is not known to be stored, without any sending.

JetStream stores a message only where the one before it in its stream is the one that the message
names, by JetStream's number of it: these follow one another, so they are known before. So what is
here is a chain: where one link is missing, nothing behind it is stored, and nobody else's messages
come between. (At ids a cluster looks only when it is too late to refuse: its stream stands still.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from laplace_server.relay.jetstream import ID, Stored
from laplace_server.relay.records import Record, RecordId

_BEFORE_SEQ = "Nats-Expected-Last-Sequence"

MOST_MESSAGES = 256
MOST_BYTES = 16 << 20


class Link(NamedTuple):
    """A message to be stored."""

    number: int
    """By which its answer is known."""
    id: RecordId
    body: bytes
    headers: dict[str, str]


class Window:
    """The chain, from the last message that is known to be stored on."""

    def __init__(self) -> None:
        self._links: deque[Link] = deque()
        self._stored: RecordId | None = None  # the last that is known to be
        self._begun = 0  # JetStream's number of what was last when this chain began
        self._last_seq = 0  # the number that it will have given to the last link
        self._number = 0
        self._unsent = 0
        self._bytes = 0
        self._is_begun = False

    def __len__(self) -> int:
        return len(self._links)

    @property
    def has_room(self) -> bool:
        return len(self._links) < MOST_MESSAGES and self._bytes < MOST_BYTES

    @property
    def last(self) -> RecordId | None:
        """The last message there is, stored or not."""
        return self._links[-1].id if self._links else self._stored

    def begin(self, last: Stored | None, last_seq: int) -> list[Link] | None:
        """Go on behind what is the last message in JetStream; return what is stored, as that shows.

        None: nothing here goes on behind it any more, and the window is empty.

        Args:
            last: the last message in JetStream, or that was there.
            last_seq: the last number that it has given.
        """
        identity = None if last is None else last.id
        links = list(self._links)
        ids = [self._stored, *(link.id for link in links)]
        stored = ids.index(identity) if self._is_begun and identity in ids else None
        self._is_begun = True
        self._links.clear()
        self._bytes = self._unsent = 0
        self._stored, self._begun = identity, max(last_seq, 0 if last is None else last.seq)
        self._last_seq = self._begun
        if stored is None:
            return None
        for link in links[stored:]:
            self._add(link.id, link.body)
        return links[:stored]

    def add(self, record: Record, most_bytes: int) -> None:
        """Add a record behind all others; ``most_bytes``: of a body."""
        for identity, body in record.messages(most_bytes, self._begun):
            self._add(identity, body)

    def _add(self, identity: RecordId, body: bytes) -> None:
        headers = {ID: str(identity), _BEFORE_SEQ: str(self._last_seq)}
        self._last_seq += 1
        self._number += 1
        self._links.append(Link(self._number, identity, body, headers))
        self._bytes += len(body)
        self._unsent += 1

    def unsent(self) -> Iterator[Link]:
        """Give what is still to be sent; each counts as sent from then on."""
        while self._unsent:
            link = self._links[-self._unsent]
            self._unsent -= 1
            yield link

    def holds(self, number: int) -> bool:
        """Say whether a message is sent and not known to be stored."""
        return bool(self._links) and self._links[0].number <= number

    def is_first(self, number: int) -> bool:
        """Say whether all before it is known to be stored."""
        return bool(self._links) and self._links[0].number == number

    def stored(self, number: int) -> Link | None:
        """Take one out that is stored; None: it is not the first, so one before it is not."""
        if not self.is_first(number):
            return None
        link = self._links.popleft()
        self._stored = link.id
        self._bytes -= len(link.body)
        return link
