"""How a gathering begins and ends: interrupted, cancelled, forgotten, forked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.both_clients import Kind
from support.event_loop import run
from support.forked import Forked
from support.interrupts import interrupted
from support.isolated import run_script
from support.machine import MACOS
from support.peers import PATIENCE_S, address_of
from support.scripted_server import ScriptedServer, silence
from support.serving import MakeServer
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import AsyncClientLHC, ClientLHC
from laplace_server.errors import ClientClosed
from laplace_server.gather import AsyncGathering, Gathering, gather


@pytest.fixture
def server(make_server: MakeServer) -> ServerLHC:
    server = make_server()
    server.declare_stream("s")
    server.declare_stream("t")
    return server


def shoot(server: ServerLHC, first: int, last: int) -> None:
    for n in range(first, last + 1):
        server.publish("s", {"shot": n})
        server.publish("t", {"shot": n})


def begun(server: ServerLHC) -> Gathering:
    with ClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
        return gather({"s": (client, "s"), "t": (client, "t")}, "shot", wait_s=PATIENCE_S)


def has_left(server: ServerLHC) -> None:
    wait_until(lambda: server.stats().subscribers == (), "all subscriptions have ended")


# ---- threads


@pytest.mark.parametrize("way", ["next", "take"])
def test_an_interrupt_at_any_line_loses_no_record(server: ServerLHC, way: str) -> None:
    keys: list[int] = []
    with begun(server) as gathered:
        shoot(server, 1, 300)

        def take() -> None:
            if way == "next":
                record = gathered.next(PATIENCE_S)
                keys.append(record.key)
            else:
                keys.extend([record.key for record in gathered.take(PATIENCE_S)])

        for line in range(1, 200):
            interrupted(take, line)
            if len(keys) >= 280:
                break
        while len(keys) < 300:
            take()
    assert keys == list(range(1, 301))


def test_a_forgotten_one_warns_and_ends(server: ServerLHC) -> None:
    before = threading.active_count()
    holder = [begun(server)]
    assert threading.active_count() == before + 1
    with pytest.warns(ResourceWarning, match="Gathering of 's', 't'> was not closed"):
        holder.clear()
    has_left(server)


def test_closing_while_it_begins() -> None:
    with ScriptedServer(silence) as silent, ClientLHC(silent.address, timeout_s=600.0) as client:
        beginning = threading.Timer(0.0, client.close)
        beginning.start()
        with pytest.raises(ClientClosed):
            with gather({"s": (client, "s")}, "shot"):
                client.close()
                raise ClientClosed("it has begun without a server")
        beginning.join()


FORGETFUL = """
import sys
from laplace_server.client import ClientLHC
from laplace_server.gather import gather

with ClientLHC(sys.argv[1], timeout_s=20) as client:
    gathered = gather({"s": (client, "s")}, "shot")
print(gathered.next(20).key, flush=True)
"""


def test_a_process_ends_that_has_not_closed_it(server: ServerLHC) -> None:
    ended = threading.Event()

    def publish() -> None:
        n = 0
        while not ended.is_set():
            n += 1
            server.publish("s", {"shot": n})
            ended.wait(0.001)

    publishing = threading.Thread(target=publish)
    publishing.start()
    try:
        assert int(run_script(FORGETFUL, address_of(server))) > 0
    finally:
        ended.set()
        publishing.join()
    has_left(server)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads, from 3.12 on
def test_in_a_forked_child_it_is_the_parents(server: ServerLHC) -> None:
    with begun(server) as gathered:

        def work() -> None:
            for ask in (gathered.next, gathered.take, gathered.__next__):
                with pytest.raises(ClientClosed, match="before this process was forked"):
                    ask()
            gathered.close()

        with Forked(work):
            shoot(server, 1, 1)
            assert gathered.next(PATIENCE_S).complete


# ---- asyncio


@contextlib.asynccontextmanager
async def sources_of(server: ServerLHC) -> AsyncIterator[dict[str, Any]]:
    async with AsyncClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
        yield {"s": (client, "s"), "t": (client, "t")}


@pytest.mark.usefixtures("each_loop")
def test_it_is_an_asynchronous_iterator(server: ServerLHC) -> None:
    async def scene() -> None:
        async with sources_of(server) as sources:
            async with gather(sources, "shot", wait_s=PATIENCE_S) as gathered:
                assert isinstance(gathered, AsyncGathering)
                shoot(server, 1, 100)
                keys = []
                async for record in gathered:
                    assert record.complete
                    keys.append(record.key)
                    if record.key == 50:
                        keys += [record.key for record in await gathered.take(PATIENCE_S)]
                    if keys[-1] == 100:
                        break
                assert keys == list(range(1, 101))
                with pytest.raises(TimeoutError):
                    await gathered.next(0.01)
            assert gathered.closed
            assert [record async for record in gathered] == []
            with pytest.raises(ClientClosed):
                await gathered.next()

    run(scene())
    has_left(server)


@pytest.mark.usefixtures("each_loop")
def test_a_cancelled_task_loses_no_record(server: ServerLHC) -> None:
    async def scene() -> None:
        async with sources_of(server) as sources:
            gathered = await gather(sources, "shot", wait_s=PATIENCE_S)
            keys = []
            for n in range(1, 51):
                waiting = asyncio.create_task(gathered.next())
                for _ in range(n % 5):
                    await asyncio.sleep(0)
                shoot(server, n, n)
                for _ in range(n % 7):
                    await asyncio.sleep(0)
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    keys.append((await waiting).key)
            while len(keys) < 50:
                keys.append((await gathered.next(PATIENCE_S)).key)
            assert keys == list(range(1, 51))
            await gathered.close()
            await gathered.close()

    run(scene())


def test_tasks_share_it(server: ServerLHC) -> None:
    async def scene() -> None:
        keys: list[int] = []

        async def take(gathered: AsyncGathering) -> None:
            async for record in gathered:
                keys.append(record.key)
                if len(keys) == 200:
                    await gathered.close()

        async with sources_of(server) as sources:
            async with gather(sources, "shot", wait_s=PATIENCE_S) as gathered:
                tasks = [asyncio.create_task(take(gathered)) for _ in range(3)]
                shoot(server, 1, 200)
                await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S)
        assert sorted(keys) == list(range(1, 201))

    run(scene())


def test_it_has_to_begin_and_once(server: ServerLHC) -> None:
    async def scene() -> None:
        async with sources_of(server) as sources:
            gathered = gather(sources, "shot")
            with pytest.raises(ClientClosed, match="has not begun"):
                await gathered.next()
            with pytest.raises(ClientClosed, match="has not begun"):
                await gathered.__anext__()
            async with gathered:
                assert await gathered is gathered
            with pytest.raises(ClientClosed, match="is closed"):
                await gathered
            gather(sources, "shot")  # never begun: nothing to close

    run(scene())


def test_one_that_was_awaited_is_a_block(server: ServerLHC) -> None:
    async def scene() -> None:
        async with sources_of(server) as sources:
            async with await gather(sources, "shot", wait_s=PATIENCE_S) as gathered:
                shoot(server, 1, 1)
                assert (await gathered.next(PATIENCE_S)).complete
            assert gathered.closed

    run(scene())


def test_two_tasks_do_not_begin_it(server: ServerLHC) -> None:
    async def scene() -> None:
        async with sources_of(server) as sources:
            gathered = gather(sources, "shot", wait_s=PATIENCE_S)
            both = await asyncio.gather(_begin(gathered), _begin(gathered), return_exceptions=True)
            assert both[0] is None
            assert isinstance(both[1], RuntimeError)
            shoot(server, 1, 1)
            assert (await gathered.next(PATIENCE_S)).complete
            await gathered.close()

    run(scene())


def test_a_close_that_is_cancelled_closes_all(server: ServerLHC) -> None:
    async def scene() -> None:
        before = len(asyncio.all_tasks())
        async with sources_of(server) as sources:
            for turns in range(1, 6):
                gathered = await gather(sources, "shot", wait_s=PATIENCE_S)
                closing = asyncio.ensure_future(gathered.close())
                for _ in range(turns):
                    await asyncio.sleep(0)
                closing.cancel()
                await asyncio.wait([closing])
                while server.stats().subscribers or len(asyncio.all_tasks()) > before:
                    await asyncio.sleep(0.001)

    run(asyncio.wait_for(scene(), PATIENCE_S))


def test_a_forgotten_one_of_asyncio_warns_and_ends(server: ServerLHC) -> None:
    async def scene() -> None:
        async with sources_of(server) as sources:
            holder = [await gather(sources, "shot")]
            with pytest.warns(ResourceWarning, match="was not closed"):
                holder.clear()
            while server.stats().subscribers:
                await asyncio.sleep(0.001)

    run(asyncio.wait_for(scene(), PATIENCE_S))


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_what_ends_while_it_begins_follows_nothing(server: ServerLHC, how: str) -> None:
    async def scene(absent: str) -> None:
        async with sources_of(server) as sources, AsyncClientLHC(absent, timeout_s=600.0) as other:
            sources["other"] = (other, "s")
            gathered = gather(sources, "shot")
            beginning = asyncio.ensure_future(_begin(gathered))
            while len(server.stats().subscribers) < 2:
                await asyncio.sleep(0.001)
            if how == "cancelled":
                beginning.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await beginning
                assert gathered.closed
            else:
                await gathered.close()
                await other.close()
                with pytest.raises(ClientClosed):
                    await beginning
            while server.stats().subscribers:
                await asyncio.sleep(0.001)

    with ScriptedServer(silence) as silent:
        run(asyncio.wait_for(scene(silent.address), PATIENCE_S))


async def _begin(gathered: AsyncGathering) -> None:
    await gathered


def test_a_fault_in_it_is_raised_where_records_are_taken(
    server: ServerLHC, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not hidden in a thread or a task."""
    from support.both_clients import gather_blocking

    from laplace_server.gather.assembly import Assembly

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("made up")

    monkeypatch.setattr(Assembly, "take", fail)
    with kind(address_of(server), timeout_s=PATIENCE_S) as client:
        gathered = gather_blocking({"s": (client, "s")}, "shot")
        try:
            shoot(server, 1, 1)
            with pytest.raises(ZeroDivisionError, match="made up"):
                gathered.next(PATIENCE_S)
        finally:
            gathered.close()
