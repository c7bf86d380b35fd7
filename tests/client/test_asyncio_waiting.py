"""How tasks wait: for a permit, for a bell, for no longer than they may."""

from __future__ import annotations

import asyncio
import gc
import math
import time

import pytest
from support.event_loop import run

from laplace_server.client.asyncio import bell as bells
from laplace_server.client.asyncio.bell import Alarm, Bell
from laplace_server.client.asyncio.permits import Permit, Permits

pytestmark = pytest.mark.transports()

# ---- permits


def given(permits: list[Permit]) -> list[bool]:
    return [permit.is_given for permit in permits]


def test_permits_are_given_in_order() -> None:
    permits = Permits(2)
    asked = [permits.ask() for _ in range(5)]
    assert given(asked) == [True, True, False, False, False]
    permits.end(asked[0])
    assert given(asked) == [False, True, True, False, False]
    permits.end(asked[3])  # it waits no more
    permits.end(asked[1])
    assert given(asked) == [False, False, True, False, True]
    permits.end(asked[1])  # again
    late = permits.ask()
    assert not late.is_given
    for permit in asked:
        permits.end(permit)
    assert late.is_given


def test_permits_of_those_that_are_gone_are_given_to_others() -> None:
    """An exception has kept them from being ended."""
    permits = Permits(2)
    asked = [permits.ask() for _ in range(4)]
    del asked[:3]
    gc.collect()
    # The one that waited and is gone has its permit for a moment.
    assert permits.ask().is_given
    assert asked[0].is_given


# ---- bells


def test_an_alarm_rings_for_each_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before, and not when that of another one is over."""
    monkeypatch.setattr(bells, "LONGEST_WAIT_S", 3600)

    async def scene() -> None:
        alarm = Alarm()
        begun = time.monotonic()

        async def wait(seconds: float) -> float:
            await alarm.wait(Bell(), begun + seconds, time.monotonic())
            return time.monotonic() - begun

        longest = asyncio.ensure_future(wait(1800))
        limits = [0.2, 0.05, 0.1, 0.05, 0.15]
        waited = await asyncio.gather(*map(wait, limits))
        assert all(took >= limit for took, limit in zip(waited, limits, strict=True))
        assert not longest.done()
        longest.cancel()

    run(scene())


def test_who_lost_a_ring_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bells, "LONGEST_WAIT_S", 0.02)

    async def scene(alarm: Alarm) -> None:
        for _ in range(3):
            await asyncio.gather(
                *(alarm.wait(Bell(), math.inf, time.monotonic()) for _ in range(10))
            )

    alarm = Alarm()
    run(scene(alarm))
    run(scene(alarm))  # in another loop, whose timer is another


def test_an_alarm_whose_timer_was_lost_is_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception came where it should have begun to look."""
    monkeypatch.setattr(bells, "LONGEST_WAIT_S", 0.02)

    async def scene() -> None:
        alarm = Alarm()
        waiting = asyncio.ensure_future(alarm.wait(Bell(), math.inf, time.monotonic()))
        await asyncio.sleep(0)
        assert alarm._timer is not None
        alarm._timer.cancel()
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await alarm.wait(Bell(), math.inf, time.monotonic())
        await waiting

    run(scene())


def test_a_ring_wakes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bells, "LONGEST_WAIT_S", 3600)

    async def scene() -> None:
        alarm, rung = Alarm(), [Bell() for _ in range(3)]
        for each in rung:
            each.ring()  # nobody waits yet
        waiting = [
            asyncio.ensure_future(alarm.wait(each, math.inf, time.monotonic())) for each in rung
        ]
        await asyncio.sleep(0)
        rung[1].ring()
        rung[1].ring()
        await waiting[1]
        assert not waiting[0].done()
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        await asyncio.to_thread(rung[2].ring_from_thread, asyncio.get_running_loop())
        await waiting[2]
        alarm.ring_all()

    run(scene())
