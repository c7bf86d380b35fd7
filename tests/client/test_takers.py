"""Who takes updates: one at a time, and the first one goes on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.peers import PATIENCE_S

from laplace_server.client.sync.takers import Takers

pytestmark = pytest.mark.transports()


class Work:
    """Something that one thread may do at a time."""

    def __init__(self) -> None:
        self.takers = Takers(Work.run.__code__)
        self.all_entered = threading.Barrier(3)
        count = self.takers.count

        def count_when_all_have_entered(owner: object) -> int:
            self.all_entered.wait(PATIENCE_S)
            found = count(owner)
            self.all_entered.wait(PATIENCE_S)  # nobody leaves before all have counted
            return found

        self.takers.count = count_when_all_have_entered  # type: ignore[method-assign]

    def run(self) -> None:
        try:
            self.takers.enter(self)
            self.all_entered.wait(PATIENCE_S)  # for the two that are refused
        finally:
            self.takers.leave()


def outcome(work: Work) -> str:
    try:
        work.run()
    except RuntimeError as error:
        work.all_entered.wait(PATIENCE_S)
        return str(error)
    return "went on"


def test_of_several_at_once_the_first_goes_on() -> None:
    work = Work()
    work.takers._entered.append(0)  # so that the first one counts, too
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(outcome, [work] * 3))
    refused = "Another thread takes updates of this subscription."
    assert sorted(found) == [refused, refused, "went on"]
    assert work.takers._entered == []


def test_the_same_thread_does_not_take_twice() -> None:
    class Nested:
        def __init__(self) -> None:
            self.takers = Takers(Nested.run.__code__)

        def run(self, deeper: bool) -> None:
            try:
                self.takers.enter(self)
                if deeper:
                    self.run(False)
            finally:
                self.takers.leave()

    nested = Nested()
    with pytest.raises(RuntimeError, match="takes updates"):
        nested.run(True)
    nested.run(False)
    assert nested.takers._entered == []
