"""Time counts while sources can be heard."""

from __future__ import annotations

import asyncio

import pytest
from support.event_loop import run

from laplace_server.gather import clock
from laplace_server.gather.clock import Clock

pytestmark = pytest.mark.transports()


class Times:
    """Takes the place of the module ``time``."""

    def __init__(self) -> None:
        self.at = 50.0

    def monotonic(self) -> float:
        return self.at


def test_of_a_turn_of_the_loop_so_much_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    times = Times()
    monkeypatch.setattr(clock, "time", times)

    async def scene() -> None:
        ours = Clock(0.1)
        told = []
        for passed in (0.0, 0.05, 0.1, 7.0, 0.02):
            times.at += passed
            told.append(ours.now())
            times.at += 1.0
            assert ours.now() == told[-1]  # it is the same turn
            times.at -= 1.0
            await asyncio.sleep(0)
        assert told == pytest.approx([0.0, 0.05, 0.15, 0.25, 0.27])

    run(scene())
