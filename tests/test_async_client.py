"""The asyncio client: requests, streams, cancellation, ends."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from event_loop import run
from isolated import run_script
from machine import within
from raw_peers import wait_until
from stream_messages import answer, updates
from stream_server import FakeServer, refuse

from laplace_server import ServerLHC
from laplace_server.client import AsyncClientLHC, ClientLHC
from laplace_server.errors import (
    ClientClosed,
    InvalidReply,
    RemoteError,
    RequestTimeout,
    VersionMismatch,
)

PATIENCE_S = within(20)


def address_of(server: ServerLHC) -> str:
    return f"tcp://127.0.0.1:{server.server_port}"


@pytest.fixture
def server(make_server: Any) -> ServerLHC:
    server: ServerLHC = make_server(data={"positions": [1.5, 2.0]})
    server.declare_stream("s")
    return server


@asynccontextmanager
async def talking(server: ServerLHC) -> AsyncIterator[AsyncClientLHC]:
    async with AsyncClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
        yield client


def publish(server: ServerLHC, first: int, last: int) -> None:
    for n in range(first, last + 1):
        assert server.publish("s", {"n": n}) == n


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
        assert inspect.iscoroutinefunction(ours) == (name != "subscribe")
        if name not in ("subscribe", "close"):
            assert ours.__doc__ == theirs.__doc__


def test_every_request(server: ServerLHC) -> None:
    calls: list[tuple[str, Any]] = []
    for name in (
        "position_changed",
        "saving_path_changed",
        "opt",
        "scan",
        "set_actuators",
        "set_diagnostics",
        "update_actuator_positions",
        "saving_status_toggled",
    ):
        getattr(server, f"set_on_{name}")(lambda value, name=name: calls.append((name, value)))
    server.register_handler("ECHO", lambda server, message, target: message["payload"])

    async def scene() -> None:
        async with talking(server) as client:
            assert 0 < await client.ping() < PATIENCE_S
            assert (await client.info())["name"] == "tested"
            assert await client.get() == {"positions": [1.5, 2.0]}
            await client.set([3.0])
            await client.save("/data")
            await client.opt({"a": 1})
            await client.scan({"b": 2})
            await client.set_actuators([1])
            await client.set_diagnostics([2])
            await client.update_actuator_positions({"0": 1})
            await client.toggle_saving(True)
            assert await client.request("ECHO", {"x": 10**30}) == {"x": 10**30}
            with pytest.raises(RemoteError):
                await client.request("NO SUCH COMMAND")
            with pytest.raises(ValueError, match="'cmd'"):
                await client.request("")
            await client.stop_server()

    run(scene())
    server.join(PATIENCE_S)
    assert not server.is_alive()
    assert [name for name, _ in calls] == [
        "position_changed",
        "saving_path_changed",
        "opt",
        "scan",
        "set_actuators",
        "set_diagnostics",
        "update_actuator_positions",
        "saving_status_toggled",
    ]
    assert [value for name, value in calls if name != "scan"] == [
        [3.0],
        "/data",
        {"a": 1},
        [1],
        [2],
        {"0": 1},
        True,
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"address": "nowhere"}, ValueError),
        ({"address": 5}, TypeError),
        ({"name": ""}, ValueError),
        ({"timeout_s": 0}, ValueError),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        AsyncClientLHC(**{"address": "tcp://127.0.0.1:1", **arguments})
    gc.collect()


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


def test_one_client_in_two_loops(server: ServerLHC) -> None:
    client = AsyncClientLHC(address_of(server), timeout_s=PATIENCE_S)

    async def ask() -> None:
        assert await client.get() == {"positions": [1.5, 2.0]}

    async def ask_and_close() -> None:
        await ask()
        await client.close()

    run(ask())
    run(ask_and_close())


# ---- time-outs, cancellation, ends


def test_no_answer_in_time() -> None:
    async def scene(address: str) -> None:
        async with AsyncClientLHC(address, timeout_s=PATIENCE_S) as client:
            with pytest.raises(RequestTimeout, match=re.escape("within 0.05 s")):
                await client.get(timeout_s=0.05)
            with pytest.raises(RequestTimeout):
                await client.subscribe("s", timeout_s=0.05)

    with FakeServer(lambda body: []) as silent:
        run(scene(silent.address))


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
    async def scene(silent: FakeServer) -> None:
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

    with FakeServer(lambda body: []) as silent:
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
            with pytest.raises(RemoteError, match="No such stream"):
                await client.subscribe("x")
            with pytest.raises(RemoteError, match="No such stream"):
                async with client.subscribe("x"):
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
            iterated = asyncio.ensure_future(collect(subscription))
            with pytest.raises(RuntimeError, match="Another task"):
                await iterated
            await subscription.close()
            with pytest.raises(ClientClosed):
                await waiting

    async def collect(subscription: Any) -> list[Any]:
        return [update async for update in subscription]

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


def test_a_restarted_server_is_followed_on(make_server: Any) -> None:
    first = make_server()
    first.declare_stream("s")

    async def scene() -> None:
        async with talking(first) as client, client.subscribe("s") as subscription:
            publish(first, 1, 10)
            for n in range(1, 11):
                assert (await subscription.next(PATIENCE_S)).seq == n
            first.stop()
            with pytest.raises(TimeoutError):
                await subscription.next(0.3)
            assert subscription.server_ended
            (ended,) = subscription.ended
            assert (ended.received, ended.lost, ended.last, ended.complete) == (10, 0, 10, True)
            second = make_server(address=address_of(first))
            second.declare_stream("s")
            publish(second, 1, 3)
            for n in range(1, 4):
                assert (await subscription.next(PATIENCE_S))[:2] == (n, second.epoch)
            assert not subscription.server_ended

    run(scene())


def test_nothing_but_json_reaches_a_server_that_has_granted_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("laplace_server.follower.SILENCE_S", 0.3)
    monkeypatch.setattr("laplace_server.follower.AGAIN_S", 0.2)

    async def scene() -> list[bytes]:
        with FakeServer(lambda body: [answer()] if body[:1] == b"{" else []) as granting:
            async with AsyncClientLHC(granting.address, timeout_s=PATIENCE_S) as client:
                subscription = await client.subscribe("s")
            granting.hear()
            for n in range(1, 9):
                granting.send(updates(n, n))
        with FakeServer(refuse, granting.address) as other:
            for n in range(1, 9):
                assert (await subscription.next(PATIENCE_S)).seq == n
            with pytest.raises(TimeoutError):
                await subscription.next(1.0)
            await subscription.close()
            return [other.hear() for _ in range(3)]

    assert {json.loads(body)["cmd"] for body in run(scene())} == {"SUBSCRIBE"}


# ---- importing


def test_asyncio_is_imported_for_those_who_ask_for_it() -> None:
    script = """
    import sys
    import laplace_server.client
    print("zmq.asyncio" in sys.modules)
    from laplace_server.client import AsyncClientLHC
    print("zmq.asyncio" in sys.modules)
    try:
        laplace_server.client.Nothing
    except AttributeError as error:
        print(error)
    """
    problem = "module 'laplace_server.client' has no attribute 'Nothing'"
    assert run_script(script).splitlines() == ["False", "True", problem]


def test_errors_are_those_of_the_client(server: ServerLHC) -> None:
    async def scene() -> None:
        async with talking(server) as client:
            for kind, request in (
                (RemoteError, client.request("SUBSCRIBE")),
                (VersionMismatch, client._ask(replaced(client, b'"0.2.2"', b'"0"'), None)),
                (InvalidReply, client._ask(wrongly_read(client), None)),
            ):
                with pytest.raises(kind):
                    await request

    def replaced(client: AsyncClientLHC, old: bytes, new: bytes) -> Any:
        request = client._requests.any("GET", None)
        request.body = request.body.replace(old, new)
        return request

    def wrongly_read(client: AsyncClientLHC) -> Any:
        request = client._requests.any("GET", None)
        request.read = lambda frames: client._requests.get.read([*frames, *frames])
        return request

    run(scene())
