"""A fleet in an event loop, of each kind."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from support import event_loop
from support.fleets import NOBODY, QUICK, Mortal
from support.peers import PATIENCE_S

from laplace_server.errors import ClientClosed
from laplace_server.fleet import AsyncFleet, DeviceState

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


async def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def test_one_that_is_killed_is_lost_and_told_again(each_loop: None) -> None:
    said: list[tuple[str, str | None]] = []

    async def on_joined(device: DeviceState) -> None:
        await asyncio.sleep(0)
        said.append(("joined", device.reason))

    def on_lost(device: DeviceState) -> None:
        said.append(("lost", device.reason))
        raise LookupError("the fleet goes on")

    async def scene() -> None:
        with Mortal() as device:
            async with AsyncFleet([device.address], **QUICK) as fleet:
                fleet.set_on_joined(on_joined)
                fleet.set_on_lost(on_lost)
                fleet.save("/a")
                assert await fleet.wait(PATIENCE_S) == {}
                device.kill()
                await until(lambda: fleet[device.address].reason == NOBODY)
                device.start()
                assert await fleet.wait(PATIENCE_S) == {}
                assert device.told() == [["SAVE", "/a"]]
                await until(lambda: len(said) == 3)
            assert fleet[device.address].reason == "the fleet is closed"

    event_loop.run(scene())
    assert [word for word, _ in said] == ["joined", "lost", "joined"]
    # Dying, it may not answer for a while before its port is free: another reason.
    assert [bool(reason) for _, reason in said] == [False, True, False]


def test_it_is_closed_in_its_callback_and_while_somebody_waits() -> None:
    async def scene() -> None:
        with Mortal() as device:
            fleet = AsyncFleet([device.address, "tcp://127.0.0.1:1"], **QUICK)
            ended = asyncio.Event()

            async def close(_: DeviceState) -> None:
                await fleet.close()
                ended.set()

            fleet.set_on_joined(close)
            await fleet.start()
            missing = await fleet.wait(PATIENCE_S)
            assert missing["tcp://127.0.0.1:1"] == "the fleet is closed"
            await asyncio.wait_for(ended.wait(), PATIENCE_S)
            await fleet.close()
            # Nothing of it is left in the loop.
            await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
            with pytest.raises(ClientClosed, match="once"):
                await fleet.start()

    event_loop.run(scene())


def test_it_follows_from_its_start_to_its_close() -> None:
    async def scene() -> None:
        fleet = AsyncFleet(**QUICK)
        with pytest.raises(ClientClosed, match="is not started"):
            await fleet.wait(PATIENCE_S)
        async with fleet:
            assert await fleet.wait(PATIENCE_S) == {}
        with pytest.raises(ClientClosed, match="is closed"):
            await fleet.wait(PATIENCE_S)
        never_started = AsyncFleet()
        await never_started.close()
        with pytest.raises(ClientClosed, match="not after its close"):
            await never_started.start()

    event_loop.run(scene())


def test_a_callback_whose_task_was_cancelled_is_logged(
    each_loop: None, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> list[str]:
        lines = [each.getMessage() for each in caplog.records]
        return [line.split()[1] for line in lines if "raised" in line]

    async def on_joined(device: DeviceState) -> None:
        cancelled = asyncio.ensure_future(asyncio.sleep(PATIENCE_S))
        cancelled.cancel()
        await cancelled

    def on_lost(device: DeviceState) -> None:
        raise asyncio.CancelledError

    async def scene() -> None:
        with Mortal() as device:
            async with AsyncFleet([device.address], **QUICK) as fleet:
                fleet.set_on_joined(on_joined)
                fleet.set_on_lost(on_lost)
                await until(lambda: told() == ["on_joined"])
                device.restart()
                await until(lambda: told() == ["on_joined", "on_lost", "on_joined"])

    event_loop.run(scene())


def test_a_callback_that_waits_is_cancelled_with_the_fleet(
    each_loop: None, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []

    async def on_joined(device: DeviceState) -> None:
        try:
            said.append("waits")
            await asyncio.sleep(3600.0)
        except asyncio.CancelledError:
            said.append("cancelled")
            raise

    async def scene() -> None:
        with Mortal() as device:
            async with AsyncFleet([device.address], **QUICK) as fleet:
                fleet.set_on_joined(on_joined)
                await until(lambda: said)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            # As asyncio.run does at its end.
            fleet = AsyncFleet([device.address], **QUICK)
            fleet.set_on_joined(on_joined)
            await fleet.start()
            await until(lambda: said[2:])
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.wait(others, timeout=PATIENCE_S)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            await fleet.close()

    event_loop.run(scene())
    assert said == ["waits", "cancelled", "waits", "cancelled"]
    assert "raised" not in caplog.text


def test_removed_devices_end_their_tasks() -> None:
    async def scene() -> None:
        with Mortal() as device:
            before = len(asyncio.all_tasks())
            async with AsyncFleet(**QUICK) as fleet:
                assert await fleet.wait(PATIENCE_S) == {}  # there is none
                mine = len(asyncio.all_tasks())
                fleet.add(device.address)
                assert await fleet.wait(PATIENCE_S) == {}
                fleet.remove(device.address)
                await until(lambda: len(asyncio.all_tasks()) == mine)
            assert len(asyncio.all_tasks()) == before

    event_loop.run(scene())


def test_a_restart_between_two_looks_is_noticed() -> None:
    said: list[tuple[str, str | None]] = []

    async def scene() -> None:
        with Mortal() as device:
            async with AsyncFleet([device.address], period_s=1.0, timeout_s=PATIENCE_S) as fleet:
                fleet.set_on_joined(lambda state: said.append(("joined", state.reason)))
                fleet.set_on_lost(lambda state: said.append(("lost", state.reason)))
                fleet.save("/a")
                assert await fleet.wait(PATIENCE_S) == {}
                before = fleet[device.address].heard
                await until(lambda: fleet[device.address].heard != before)
                device.restart()  # meanwhile the event loop stands still
                await until(lambda: fleet[device.address].joined == 2)
                assert await fleet.wait(PATIENCE_S) == {}
                assert device.told() == [["SAVE", "/a"]]
                await until(lambda: len(said) == 3)

    event_loop.run(scene())
    assert [word for word, _ in said] == ["joined", "lost", "joined"]
    assert "started anew" in (said[1][1] or "")
