"""Clients for asyncio in processes that are forked, and that end."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from support.isolated import run_script
from support.machine import MACOS
from support.peers import PATIENCE_S, address_of
from support.updates import publish

from laplace_server import ServerLHC

FORK = """
import asyncio, gc, os, sys, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from laplace_server.client import AsyncClientLHC
from laplace_server.errors import ClientClosed

HOW = sys.argv[1]

async def child(client, busy, closed, followed):
    for each in (client, busy) * 3:
        assert await each.get() == {"x": 1.5}
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
    # Answers come when they are there, not when it is too late for them.
    client, busy = (AsyncClientLHC(address, timeout_s=3600) for address in sys.argv[2:])
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
    busy = make_server(data={"x": 1.5})
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
    assert run_script(EXIT, address_of(server)) == ("0\n{'x': 1.5} {'x': 1.5}\n")
