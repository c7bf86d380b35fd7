"""What subscriptions got, kept like a ledger, one for each life of the server."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.peers import PATIENCE_S
from support.waiting import wait_until

from laplace_server.client import ClientLHC
from laplace_server.stream import EndedEpoch

# Soon, so that a test of broken connections takes seconds. A quiet server says a word each second.
IMPATIENT = {"SILENCE_S": 1.4, "ANSWER_S": 1.0, "AGAIN_S": 0.1, "FIRST_RETRY_S": 0.02}


def set_constants(values: dict[str, Any], patch: pytest.MonkeyPatch | None = None) -> None:
    """Change constants of the client's streams, for good where there is no ``patch``."""
    for name, value in values.items():
        modules = [m for key, m in list(sys.modules.items()) if key.startswith("laplace_server.")]
        owners = [module for module in modules if name in vars(module)]
        assert owners, f"no module has {name}"
        for module in owners:
            if patch is None:
                setattr(module, name, value)
            else:
                patch.setattr(module, name, value)


@dataclass
class Epoch:
    """One life of a server, as one subscription saw it."""

    first: int
    next: int
    received: int = 0
    lost: int = 0


@dataclass
class Account:
    """Takes updates and fails at the first that is late, twice, or not announced as lost."""

    first: int = 1  # number of the first update wanted
    epochs: dict[int, Epoch] = field(default_factory=dict)
    check: Callable[[Any], bool] = lambda update: update.data["n"] == update.seq

    def take(self, update: Any) -> None:
        if update.epoch not in self.epochs:
            begin = 1 if self.epochs else self.first
            self.epochs[update.epoch] = Epoch(begin, begin)
        assert list(self.epochs)[-1] == update.epoch, f"of a life that is over: {update}"
        epoch = self.epochs[update.epoch]
        assert update.seq - epoch.next == update.lost_before, f"{epoch.next} was next: {update}"
        assert update.lost_before >= 0
        assert self.check(update), update
        epoch.received += 1
        epoch.lost += update.lost_before
        epoch.next = update.seq + 1

    @property
    def lost(self) -> int:
        return sum(epoch.lost for epoch in self.epochs.values())

    def adds_up(self, epoch: int, last: int) -> bool:
        """Whether nothing is missing up to the update of that number, which has come."""
        seen = self.epochs[epoch]
        return seen.first + seen.received + seen.lost == seen.next == last + 1

    def agrees(self, lost: int, ended: Iterable[EndedEpoch], published: Mapping[int, int]) -> None:
        """Compare with what the subscription says of each life that is over.

        ``published`` tells for each life how many updates there were.
        """
        ended = list(ended)
        for each in ended:
            assert each.first + each.received + each.lost == each.last + 1, each
            assert each.last <= published[each.epoch], each
            assert not each.complete or each.last == published[each.epoch], each
            seen = self.epochs.get(each.epoch)
            if seen is None:  # it ended before the first update came
                assert each.received == 0, each
                continue
            assert (each.first, each.received) == (seen.first, seen.received), each
            assert each.lost - seen.lost == each.last + 1 - seen.next, each
        assert len({each.epoch for each in ended}) == len(ended)
        over = {each.epoch for each in ended}
        now = sum(seen.lost for epoch, seen in self.epochs.items() if epoch not in over)
        assert lost == sum(each.lost for each in ended) + now
        assert self.epochs.keys() - over <= {list(self.epochs)[-1]}


class Following:
    """A subscription in a thread of its own, until it is told to end."""

    def __init__(
        self,
        address: str,
        stream: str = "s",
        *,
        first: int = 1,
        check: Callable[[Any], bool] | None = None,
        begun: Callable[[], None] = lambda: None,
        on_update: Callable[[Any], None] = lambda update: None,
        **arguments: Any,
    ) -> None:
        self.account = Account(first) if check is None else Account(first, check=check)
        self.problem: BaseException | None = None
        self.lost = 0
        self.ended: tuple[EndedEpoch, ...] = ()
        self.last: tuple[int, int] = (0, 0)  # epoch and number
        self._done = threading.Event()
        self._begun = threading.Event()
        self._client = ClientLHC(address, timeout_s=PATIENCE_S)
        self._on_update = on_update
        self._thread = threading.Thread(
            target=self._run, args=(stream, {"start": "oldest", **arguments}), name="following"
        )
        self._thread.start()
        assert self._begun.wait(PATIENCE_S)

    def _run(self, stream: str, arguments: dict[str, Any]) -> None:
        try:
            with self._client, self._client.subscribe(stream, **arguments) as subscription:
                self._begun.set()
                while not self._done.is_set():
                    try:
                        update = subscription.next(0.05)
                    except TimeoutError:
                        continue
                    self.account.take(update)
                    self.lost, self.ended = subscription.lost, subscription.ended
                    self._on_update(update)
                    self.last = update.epoch, update.seq
        except BaseException as problem:
            self.problem = problem
        finally:
            self._begun.set()

    def reach(self, epoch: int, number: int, seconds: float = PATIENCE_S) -> None:
        """Wait until it has come so far; fail if it has failed."""
        wait_until(
            lambda: self.problem is not None or self.last == (epoch, number),
            f"{number} of {epoch} has come, not only {self.last}",
            seconds,
        )
        if self.problem is not None:
            raise self.problem

    def agrees(self, published: Mapping[int, int]) -> None:
        self.account.agrees(self.lost, self.ended, published)

    def close(self) -> None:
        self._done.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
