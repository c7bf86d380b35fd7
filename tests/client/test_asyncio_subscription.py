"""Streams with asyncio."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from support.event_loop import new_event_loop, run
from support.peers import PATIENCE_S, address_of
from support.scripted_server import ScriptedServer, silence
from support.updates import publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import AsyncClientLHC
from laplace_server.client.asyncio.subscription import AsyncSubscription
from laplace_server.errors import ClientClosed, RemoteError, RequestTimeout

pytestmark = pytest.mark.usefixtures("each_loop")


@asynccontextmanager
async def talking(server: ServerLHC) -> AsyncIterator[AsyncClientLHC]:
    async with AsyncClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
        yield client


# ---- time-outs, cancellation, ends


def test_no_answer_in_time() -> None:
    async def scene(address: str) -> None:
        async with AsyncClientLHC(address, timeout_s=PATIENCE_S) as client:
            with pytest.raises(RequestTimeout):
                await client.subscribe("s", timeout_s=0.05)

    with ScriptedServer(silence) as silent:
        run(scene(silent.address))


def test_a_forgotten_subscription_warns(server: ServerLHC) -> None:
    async def scene() -> None:
        async with talking(server) as client:
            holder = [await client.subscribe("s")]
            with pytest.warns(ResourceWarning, match="was not closed"):
                holder.clear()
            client.subscribe("s")  # never begun: nothing to close

    run(scene())


# ---- streams


def test_a_stream_is_followed(server: ServerLHC) -> None:
    total = 5000

    async def scene() -> None:
        async with talking(server) as client:
            async with client.subscribe("s", start="oldest") as subscription:
                publish(server, 1, total)
                seen = []
                async for update in subscription:
                    seen.append((update.seq, update.data))
                    if update.seq in (3, 10, total):
                        if update.seq == total:
                            break
                        following = await subscription.next(PATIENCE_S)
                        seen.append((following.seq, following.data))
                assert seen == [(n, {"n": n}) for n in range(1, total + 1)]
                assert (subscription.lost, subscription.lag) == (0, 0)
                assert subscription.epoch == server.epoch
            assert subscription.closed
            with pytest.raises(ClientClosed):
                await subscription.next()
            assert [update async for update in subscription] == []

    run(scene())
    wait_until(lambda: server.stats().subscribers == (), "it has left")


def test_arrays(server: ServerLHC) -> None:
    array = np.arange(100_000.0)

    async def scene() -> None:
        async with talking(server) as client:
            subscription = await client.subscribe("s")
            server.publish("s", {"a": array})
            found = (await subscription.next(PATIENCE_S)).data["a"]
            assert np.array_equal(found, array)
            assert not found.flags.writeable
            assert await subscription is subscription  # begun already
            await subscription.close()
            await subscription.close()
            with pytest.raises(ClientClosed):
                await subscription

    run(scene())


def test_what_cannot_begin(server: ServerLHC) -> None:
    async def scene() -> None:
        async with talking(server) as client:
            with pytest.raises(RequestTimeout, match="No such stream"):
                await client.subscribe("x", timeout_s=0.1)
            with pytest.raises(RemoteError, match="'start' must be"):
                async with client.subscribe("s", start=99):
                    pass
            with pytest.raises(ValueError, match="credit_bytes"):
                client.subscribe("s", credit_bytes=0)
            with pytest.raises(ClientClosed, match="has not begun"):
                await client.subscribe("s").next()

    run(scene())


def test_a_cancelled_wait_loses_nothing(server: ServerLHC) -> None:
    total = 2000

    async def scene() -> None:
        async with talking(server) as client, client.subscribe("s") as subscription:
            with pytest.raises(TimeoutError):
                await subscription.next(0.01)
            publishing = asyncio.ensure_future(asyncio.to_thread(publish, server, 1, total))
            seen: list[int] = []
            cancelled = 0
            while not seen or seen[-1] < total:
                taking = asyncio.ensure_future(subscription.next(PATIENCE_S))
                for _ in range(len(seen) % 4):
                    await asyncio.sleep(0)
                if taking.cancel():
                    cancelled += 1
                try:
                    seen.append((await taking).seq)
                except asyncio.CancelledError:
                    seen.append((await subscription.next(PATIENCE_S)).seq)
            await publishing
            assert seen == list(range(1, total + 1))
            assert cancelled > 10
            assert subscription.lost == 0

    run(scene())


def test_one_task_at_a_time(server: ServerLHC) -> None:
    async def scene() -> None:
        async with talking(server) as client, client.subscribe("s") as subscription:
            waiting = asyncio.ensure_future(subscription.next())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="Another task"):
                await subscription.next()
            with pytest.raises(RuntimeError, match="Another task"):
                await subscription.take()
            iterated = asyncio.ensure_future(collect(subscription))
            with pytest.raises(RuntimeError, match="Another task"):
                await iterated
            await subscription.close()
            with pytest.raises(ClientClosed):
                await waiting

    async def collect(subscription: Any) -> list[Any]:
        return [update async for update in subscription]

    run(scene())


def test_nobody_else_gets_what_a_take_has(server: ServerLHC) -> None:
    async def scene() -> None:
        async with talking(server) as client, client.subscribe("s") as subscription:
            publish(server, 1, 3)
            ordinary = subscription._work
            refused = 0

            async def others() -> None:
                nonlocal refused
                for way in (subscription.next, subscription.take):
                    with pytest.raises(RuntimeError, match="Another task"):
                        await way()
                    refused += 1

            async def work(is_done: Any, deadline: float) -> bool:
                done = await ordinary(is_done, deadline)
                await asyncio.ensure_future(others())
                return done

            subscription._work = work  # type: ignore[method-assign]
            got: list[int] = []
            while len(got) < 3:
                got += [update.seq for update in await subscription.take(PATIENCE_S)]
            assert got == [1, 2, 3]
            assert refused >= 2
            subscription._work = ordinary  # type: ignore[method-assign]

    run(scene())


def test_closing_ends_a_task_that_iterates(server: ServerLHC) -> None:
    async def scene() -> None:
        async with talking(server) as client:
            subscription = await client.subscribe("s")
            seen: list[int] = []
            arrived = asyncio.Event()

            async def iterate() -> None:
                async for update in subscription:
                    seen.append(update.seq)
                    arrived.set()

            iterating = asyncio.ensure_future(iterate())
            publish(server, 1, 1)
            await asyncio.wait_for(arrived.wait(), PATIENCE_S)
            await subscription.close()
            await asyncio.wait_for(iterating, PATIENCE_S)
            assert seen == [1]

    run(scene())


def test_other_tasks_have_their_turn(server: ServerLHC) -> None:
    """Also where every update is there already."""

    async def scene() -> None:
        turns = 0
        publish(server, 1, 20_000)

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with talking(server) as client:
            async with client.subscribe("s", start=1) as subscription:
                counting = asyncio.ensure_future(count())
                async for update in subscription:
                    if update.seq == 20_000:
                        break
                counting.cancel()
        assert turns > 5

    run(scene())


# ---- copies and forks


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_are_refused(copied: Any, server: ServerLHC) -> None:
    async def scene() -> None:
        async with talking(server) as client, client.subscribe("s") as subscription:
            for one in (client, subscription):
                with pytest.raises(TypeError, match="make one where it is needed"):
                    copied(one)
            gc.collect()
            assert await client.get() == {"x": 1.5}
            publish(server, 1, 1)
            assert (await subscription.next(PATIENCE_S)).seq == 1

    run(scene())


def test_a_loop_closed_early_leaves_it_usable(server: ServerLHC) -> None:
    go_on = threading.Event()
    server.register_handler("SILENT", lambda *_: {"waited": go_on.wait(PATIENCE_S)})
    first = new_event_loop()
    client = AsyncClientLHC(address_of(server), timeout_s=PATIENCE_S)

    async def begin() -> AsyncSubscription:
        return await client.subscribe("s", start="oldest")

    subscription = first.run_until_complete(begin())
    waiting = first.create_task(subscription.next())
    asking = first.create_task(client.request("SILENT"))
    first.run_until_complete(asyncio.sleep(0))
    first.run_until_complete(asyncio.sleep(0))
    first.close()
    publish(server, 1, 2)

    async def use() -> None:
        assert (await subscription.next(PATIENCE_S)).seq == 1
        assert not waiting.done()
        assert not asking.done()

    async def end() -> None:
        assert (await subscription.next(PATIENCE_S)).seq == 2
        await subscription.close()
        await client.close()

    run(use())
    go_on.set()
    run(end())
    for task in (waiting, asking):
        task.get_coro().close()  # type: ignore[union-attr]
