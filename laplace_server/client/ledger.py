"""What has come of a stream: each update once, or counted as lost.

A ``Ledger`` is a value: a message makes a new one, which takes the place of the old one in one
step. So an exception out of a signal handler, wherever it comes, leaves either of the two; and
threads that look see one of them.
"""

from __future__ import annotations

from typing import NamedTuple

from laplace_server.client.updates import Batch

MAX_ENDED = 100


class EndedEpoch(NamedTuple):
    """What came of a life of the server that is over: received + lost = last - first + 1."""

    epoch: int
    first: int
    """Number of the first update wanted."""
    received: int
    lost: int
    """Updates that are missing up to ``last``, those at the end included."""
    last: int
    """Number of the last update that the server told of."""
    complete: bool
    """True: the server said that ``last`` is its last. False: what came after it is unknown."""


class Life(NamedTuple):
    """A life of the server, and those before it."""

    epoch: int = 0
    """0: there was none yet."""
    first: int = 0
    """Number of the first update wanted."""
    over: bool = False
    """The server said that it stops."""
    lost_before: int = 0
    """Updates lost in those that are over."""
    ended: tuple[EndedEpoch, ...] = ()


class Ledger(NamedTuple):
    """All numbers of a subscription, up to one message."""

    life: Life
    position: int
    """Number of the update behind the batch."""
    lost: int
    """In this life."""
    last: int
    """Number of the last update published, as far as is known."""
    messages: int
    """Taken on the present connection, and so allowed again to the server."""
    size: int
    """Bytes of those."""
    read: int
    """Number of the last message that counts in all this."""
    batch: Batch
    """Its updates, as far as they are not taken."""

    @property
    def following(self) -> int:
        """Number of the update that is taken next, if it is not lost."""
        return self.position - len(self.batch)

    @property
    def lost_in_all(self) -> int:
        life = self.life
        return life.lost_before if life.over else life.lost_before + self.lost

    @property
    def lag(self) -> int:
        return max(0, self.last - self.following + 1)

    def begin(self, epoch: int, first: int) -> Ledger:
        """Return that of a new life of the server; a present one is over without a word."""
        life = self.life
        if life.epoch and not life.over:
            life = self.end(complete=False).life
        new = life._replace(epoch=epoch, first=first, over=False)
        return self._replace(life=new, position=first, lost=0, last=first - 1)

    def end(self, *, complete: bool) -> Ledger:
        """Return that of a life that is over: what is missing at its end nobody will ever send."""
        life = self.life
        last = max(self.last, self.position - 1)
        lost = self.lost + last + 1 - self.position
        received = last + 1 - life.first - lost
        account = EndedEpoch(life.epoch, life.first, received, lost, last, complete)
        new = life._replace(
            over=True,
            lost_before=life.lost_before + lost,
            ended=(*life.ended, account)[-MAX_ENDED:],
        )
        return self._replace(life=new, position=last + 1, lost=lost, last=last)

    def knows(self, epoch: int) -> bool:
        """Say whether a life is over."""
        return any(epoch == each.epoch for each in self.life.ended)
