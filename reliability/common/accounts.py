"""What a subscription got, held against what the numbers of its updates say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Life:
    """A life of the server, as one subscription saw it; all up to the update before ``next``."""

    first: int
    next: int
    received: int = 0
    lost: int = 0
    """Told as lost."""
    last: int | None = None
    """Once it is over: the last number that the server told of."""
    complete: bool = False


@dataclass
class Account:
    """Counts updates, and what is wrong with them, without ever raising."""

    lives: dict[int, Life] = field(default_factory=dict)
    received: int = 0
    lost: int = 0
    """Neither received nor told as lost."""
    doubled: int = 0
    out_of_order: int = 0
    wrong: list[str] = field(default_factory=list)
    """Other faults, in words; the first ten."""
    _missing: set[tuple[int, int]] = field(default_factory=set)

    def fault(self, text: str) -> None:
        """Keep a fault."""
        if len(self.wrong) < 10:
            self.wrong.append(text)

    def take(self, update: Any, intact: Callable[[Any], bool] = lambda update: True) -> None:
        """Count an update; ``intact`` says whether it holds what was published."""
        self.received += 1
        if not intact(update):
            self.fault(f"update {update.seq} does not hold what was published")
        if update.epoch not in self.lives:
            # The first life may have lost its beginning before there was a subscription.
            first = 1 if self.lives else update.seq - update.lost_before
            self.lives[update.epoch] = Life(first, first)
        life = self.lives[update.epoch]
        if update.epoch != list(self.lives)[-1]:
            self.out_of_order += 1
            return
        if update.seq < life.next:
            if (update.epoch, update.seq) in self._missing:
                self._missing.discard((update.epoch, update.seq))
                self.lost -= 1
                self.out_of_order += 1
            else:
                self.doubled += 1
            return
        untold = update.seq - life.next - update.lost_before
        if untold > 0:
            self.lost += untold
            missing = range(update.seq - min(untold, 10_000), update.seq)
            self._missing.update((update.epoch, number) for number in missing)
        elif untold < 0:
            self.fault(f"before {update.seq} {-untold} more were told as lost than are missing")
        life.received += 1
        life.lost += update.lost_before
        life.next = update.seq + 1

    def end(self, ended: Iterable[Any]) -> None:
        """Hold what a subscription says of lives that are over against what came of them."""
        for each in ended:
            life = self.lives.get(each.epoch)
            if life is None:  # it ended before the first update came
                life = Life(each.first, each.first)
                self.lives = {each.epoch: life, **self.lives}  # the last one is that of now
            if life.last is not None:
                continue
            life.last, life.complete = each.last, each.complete
            if each.first + each.received + each.lost != each.last + 1:
                self.fault(f"the ledger of epoch {each.epoch} does not add up: {each}")
            if (each.first, each.received) != (life.first, life.received):
                self.fault(f"of epoch {each.epoch} {life.received} came; its ledger says {each}")
            life.lost = each.lost

    def told(self) -> int:
        """Return how many updates were told as lost."""
        return sum(life.lost for life in self.lives.values())

    def report(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "received": self.received,
            "told": self.told(),
            "lost": self.lost,
            "doubled": self.doubled,
            "out_of_order": self.out_of_order,
            "wrong": self.wrong,
            "lives": {str(epoch): vars(life) for epoch, life in self.lives.items()},
        }


def against_published(report: Mapping[str, Any], published: Mapping[int, int]) -> list[str]:
    """Return what a subscription's report has wrong about lives that are over.

    ``published``: for each epoch the number of its last update, or of the one before where the
    device was killed between two steps.
    """
    faults = []
    for epoch, life in report["lives"].items():
        if life["last"] is None:
            continue
        there_were = published.get(int(epoch))
        if there_were is None:
            faults.append(f"nobody published in epoch {epoch}")
        elif life["last"] > there_were + 1:
            faults.append(f"epoch {epoch} had {there_were} updates, told were {life['last']}")
        elif life["complete"] and life["last"] < there_were:
            faults.append(f"epoch {epoch} ended at {life['last']}, and {there_were} were published")
    return faults


def unsaid(report: Mapping[str, Any], published: Mapping[int, int]) -> int:
    """Return how many updates died with a server that was killed before it could tell of them."""
    return sum(
        max(published.get(int(epoch), 0) - life["last"], 0)
        for epoch, life in report["lives"].items()
        if life["last"] is not None
    )
