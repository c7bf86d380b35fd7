"""Tasks that share a client: their connections, cancellation, ends."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.event_loop import run
from support.isolated import run_script
from support.peers import PATIENCE_S, address_of
from support.scripted_server import ScriptedServer, silence

from laplace_server import ServerLHC
from laplace_server.client import AsyncClientLHC, ClientLHC
from laplace_server.errors import ClientClosed, RequestTimeout

pytestmark = pytest.mark.usefixtures("each_loop")


@asynccontextmanager
async def talking(server: ServerLHC) -> AsyncIterator[AsyncClientLHC]:
    async with AsyncClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
        yield client


# ---- the same as the other client


def test_names_arguments_and_docs_are_those_of_the_client() -> None:
    names = [name for name in vars(ClientLHC) if not name.startswith("_")]
    for name in (*names, "address", "name", "timeout_s"):
        theirs, ours = getattr(ClientLHC, name), getattr(AsyncClientLHC, name)
        assert ours.__doc__, name
        if not callable(theirs):
            continue
        assert list(inspect.signature(ours).parameters) == list(
            inspect.signature(theirs).parameters
        )
        assert inspect.iscoroutinefunction(ours) != name.startswith("subscribe")
        if name not in ("subscribe", "close"):
            assert ours.__doc__ == theirs.__doc__


def test_many_tasks_at_once(server: ServerLHC) -> None:
    server.register_handler("ECHO", lambda server, message, target: message["payload"])

    async def scene() -> None:
        async with talking(server) as client:

            async def ask(task: int) -> list[Any]:
                return [(await client.request("ECHO", {"n": [task, n]}))["n"] for n in range(20)]

            answers = await asyncio.gather(*(ask(task) for task in range(50)))
            assert answers == [[[task, n] for n in range(20)] for task in range(50)]
            assert client._pool is not None
            assert len(client._pool._idle) == 16
            assert not client._pool._lent

    run(scene())


def test_connections_are_bounded(server: ServerLHC) -> None:
    async def scene() -> None:
        async with talking(server) as client:
            pool = client._pool
            assert pool is not None
            asking = [asyncio.ensure_future(client.get()) for _ in range(1100)]
            most = 0
            while not all(each.done() for each in asking):
                most = max(most, len(pool._lent) + len(pool._idle))
                await asyncio.sleep(0)
            assert [each.result() for each in asking] == [{"x": 1.5}] * 1100
            assert 1 <= most <= 16

    run(scene())


def test_requests_wait_for_a_connection_in_order(
    monkeypatch: pytest.MonkeyPatch, server: ServerLHC
) -> None:
    monkeypatch.setattr("laplace_server.client.asyncio.connections.MAX_CONNECTIONS", 1)
    seen: list[int] = []
    server.set_on_position_changed(seen.append)

    async def scene() -> None:
        async with talking(server) as client:
            asking = [asyncio.ensure_future(client.set(n)) for n in range(20)]
            await asyncio.sleep(0)
            for n in (3, 7, 19):
                asking[n].cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    run(scene())
    assert seen == [n for n in range(20) if n not in (3, 7, 19)]


def test_waiting_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laplace_server.client.asyncio.connections.MAX_CONNECTIONS", 2)

    async def scene(silent: ScriptedServer) -> None:
        client = AsyncClientLHC(silent.address, timeout_s=3600)
        holding = [asyncio.ensure_future(client.get()) for _ in range(2)]
        for _ in holding:
            await asyncio.to_thread(silent.hear)
        begun = time.monotonic()
        with pytest.raises(RequestTimeout, match="using all 2 connections") as caught:
            await client.get(timeout_s=0.2)
        assert 0.2 <= time.monotonic() - begun < PATIENCE_S
        assert caught.value.reason == "other requests were using all 2 connections of this client"
        # One that is cancelled makes room, also where the one next in line is cancelled with it.
        waiting = [asyncio.ensure_future(client.get()) for _ in range(3)]
        await asyncio.sleep(0)
        holding[0].cancel()
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.to_thread(silent.hear)
        assert not waiting[1].done()
        await client.close()
        for each in (holding[1], *waiting[1:]):
            with pytest.raises(ClientClosed):
                await each

    with ScriptedServer(silence) as silent:
        run(scene(silent))


def test_one_client_in_two_loops(server: ServerLHC) -> None:
    client = AsyncClientLHC(address_of(server), timeout_s=PATIENCE_S)

    async def ask() -> None:
        assert await client.get() == {"x": 1.5}

    async def ask_and_close() -> None:
        await ask()
        await client.close()

    run(ask())
    run(ask_and_close())


def test_late_answers_are_nobodys(server: ServerLHC) -> None:
    """A cancelled or late request's connection goes; the next ones get their own answers."""

    def echo(server: ServerLHC, message: dict[str, Any], target: Any) -> dict[str, Any]:
        time.sleep(message["payload"].get("sleep_s", 0))
        payload: dict[str, Any] = message["payload"]
        return payload

    server.register_handler("ECHO", echo)

    async def scene() -> None:
        async with talking(server) as client:
            for n in range(5):
                task = asyncio.ensure_future(client.request("ECHO", {"n": -1, "sleep_s": 0.05}))
                await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                with pytest.raises(RequestTimeout):
                    await client.request("ECHO", {"n": -2, "sleep_s": 0.05}, timeout_s=0.01)
                assert await client.request("ECHO", {"n": n}) == {"n": n}

    run(scene())


def test_closing_ends_requests_under_way() -> None:
    async def scene(silent: ScriptedServer) -> None:
        client = AsyncClientLHC(silent.address, timeout_s=3600)
        waiting = [asyncio.ensure_future(client.get()) for _ in range(3)]
        for _ in waiting:
            await asyncio.to_thread(silent.hear)
        await asyncio.gather(client.close(), client.close())
        for task in waiting:
            with pytest.raises(ClientClosed):
                await task
        assert client.closed
        with pytest.raises(ClientClosed):
            await client.get()
        with pytest.raises(ClientClosed):
            client.subscribe("s")
        with pytest.raises(ClientClosed):
            async with client:
                pass

    with ScriptedServer(silence) as silent:
        run(scene(silent))


def test_a_forgotten_client_warns(server: ServerLHC) -> None:
    async def scene() -> None:
        client = AsyncClientLHC(address_of(server), timeout_s=PATIENCE_S)
        await client.get()
        holder = [client]
        del client
        with pytest.warns(ResourceWarning, match="was not closed"):
            holder.clear()

    run(scene())


# ---- importing


def test_asyncio_is_imported_for_those_who_ask_for_it() -> None:
    script = """
    import sys
    import laplace_server.client
    print("asyncio" in sys.modules)
    from laplace_server.client import AsyncClientLHC
    print("asyncio" in sys.modules)
    try:
        laplace_server.client.Nothing
    except AttributeError as error:
        print(error)
    """
    problem = "module 'laplace_server.client' has no attribute 'Nothing'"
    assert run_script(script).splitlines() == ["False", "True", problem]
