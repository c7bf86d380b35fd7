"""The asyncio client: requests, streams, cancellation, ends."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import json
import os
import pickle
import re
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from event_loop import run
from isolated import run_script
from machine import MACOS, within
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
            assert [each.result() for each in asking] == [{"positions": [1.5, 2.0]}] * 1100
            assert 1 <= most <= 16

    run(scene())


def test_requests_wait_for_a_connection_in_order(
    monkeypatch: pytest.MonkeyPatch, server: ServerLHC
) -> None:
    monkeypatch.setattr("laplace_server.async_connections.MAX_CONNECTIONS", 1)
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
    monkeypatch.setattr("laplace_server.async_connections.MAX_CONNECTIONS", 2)

    async def scene(silent: FakeServer) -> None:
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

    with FakeServer(lambda body: []) as silent:
        run(scene(silent))


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


# ---- copies and forks


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_are_refused(copied: Any, server: ServerLHC) -> None:
    async def scene() -> None:
        async with talking(server) as client, client.subscribe("s") as subscription:
            for one in (client, subscription):
                with pytest.raises(TypeError, match="make one where it is needed"):
                    copied(one)
            gc.collect()
            assert await client.get() == {"positions": [1.5, 2.0]}
            publish(server, 1, 1)
            assert (await subscription.next(PATIENCE_S)).seq == 1

    run(scene())


FORK = """
import asyncio, gc, os, sys, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from laplace_server.client import AsyncClientLHC
from laplace_server.errors import ClientClosed

HOW = sys.argv[1]

async def child(client, busy, closed, followed):
    for each in (client, busy) * 3:
        assert await each.get() == {"positions": [1.5, 2.0]}
    async with client.subscribe("s", start=1) as own:
        assert (await own.next(20)).seq == 1
    for taking in (followed.next(1), followed.__anext__(), followed._begin()):
        try:
            await taking
        except ClientClosed as error:
            assert "before this process was forked" in str(error), error
        else:
            raise AssertionError("it goes on")
    await followed.close()
    await client.close()
    await busy.close()
    assert client.closed and busy.closed and closed.closed

def run_child(*arguments):
    asyncio.run(asyncio.wait_for(child(*arguments), 20))
    gc.collect()

async def parent():
    client, busy = (AsyncClientLHC(address, timeout_s=20) for address in sys.argv[2:])
    async with client, busy:
        closed = AsyncClientLHC(sys.argv[2])
        await closed.close()
        followed = await client.subscribe("s", start=1)
        assert (await followed.next(20)).seq == 1
        await client.get()
        under_way = [asyncio.ensure_future(busy.request("WAIT")) for _ in range(3)]
        waiting = asyncio.ensure_future(followed.next(20))
        await asyncio.to_thread(sys.stdin.readline)
        child = os.fork()
        if not child:
            status = 1
            try:
                if HOW == "used":
                    run_child(client, busy, closed, followed)
                else:
                    for task in (*under_way, waiting):
                        task.get_coro().close()  # as when it is collected
                    del task, client, busy, closed, followed, under_way, waiting
                    gc.collect()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
        assert await asyncio.gather(*under_way) == [{"waited": True}] * 3
        assert (await waiting).seq == 2
        for each in (client, busy) * 3:
            await each.get()
        await followed.close()
        print("the parent goes on", flush=True)

asyncio.run(parent())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child that opens connections")
@pytest.mark.parametrize("how", ["used", "collected"])
def test_a_forked_child_has_connections_of_its_own(
    server: ServerLHC, make_server: Any, make_child: Any, how: str
) -> None:
    busy = make_server(data={"positions": [1.5, 2.0]})
    publish(server, 1, 1)
    begun, go_on = threading.Event(), threading.Event()

    def wait(server: ServerLHC, message: Any, target: Any) -> dict[str, Any]:
        begun.set()
        return {"waited": go_on.wait(PATIENCE_S)}

    busy.register_handler("WAIT", wait)
    child = make_child(FORK, how, address_of(server), address_of(busy))
    try:
        assert begun.wait(PATIENCE_S)
        child.tell("fork")
        assert child.hear() == "0"
        publish(server, 2, 2)
    finally:
        go_on.set()
    assert child.hear() == "the parent goes on"
    assert child.process.wait(PATIENCE_S) == 0


EXIT = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from laplace_server.client import AsyncClientLHC, ClientLHC

async def use():
    client = AsyncClientLHC(sys.argv[1], timeout_s=20)
    await client.get()
    return client, await client.subscribe("s")

loop = asyncio.new_event_loop()
client, followed = loop.run_until_complete(use())
plain = ClientLHC(sys.argv[1], timeout_s=20)
plain_followed = plain.subscribe("s")
child = os.fork()
if child:
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status))
    print(loop.run_until_complete(client.get()), plain.get())
    loop.run_until_complete(followed.close())
    loop.run_until_complete(client.close())
    plain_followed.close()
    plain.close()
    loop.close()
else:
    loop.run_until_complete = loop.close = None
    del loop
    plain.close()
    # And so it ends, as any program: with a client open that was never used here.
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child")
def test_a_forked_child_ends(server: ServerLHC) -> None:
    assert run_script(EXIT, address_of(server)) == (
        "0\n{'positions': [1.5, 2.0]} {'positions': [1.5, 2.0]}\n"
    )


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
