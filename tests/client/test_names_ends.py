"""Clients that end while a host's name is looked up."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.event_loop import run
from support.isolated import run_script
from support.machine import MACOS, within
from support.name_service import NameService
from support.peers import PATIENCE_S

from laplace_server import ServerLHC
from laplace_server.client import AsyncClientLHC, ClientLHC
from laplace_server.errors import ClientClosed, RequestTimeout

AT_ONCE_S = within(1)


def at(host: str, server: ServerLHC) -> str:
    return f"tcp://{host}:{server.server_port}"


def test_close_wakes_a_request(service: NameService) -> None:
    service.hold()
    with ThreadPoolExecutor(3) as threads:
        client = ClientLHC("tcp://slow.lab:5555", timeout_s=3600)
        asking = [threads.submit(client.get) for _ in range(2)]
        asking.append(threads.submit(client.subscribe, "s"))
        service.wait_asked()
        begun = time.monotonic()
        client.close()
        for each in asking:
            with pytest.raises(ClientClosed):
                each.result(PATIENCE_S)
        assert time.monotonic() - begun < AT_ONCE_S


def test_close_wakes_a_request_that_nobody_takes(refused: int) -> None:
    with ThreadPoolExecutor(2) as threads:
        client = ClientLHC(f"tcp://127.0.0.1:{refused}", timeout_s=3600)
        asking = [threads.submit(client.get), threads.submit(client.subscribe, "s")]
        begun = time.monotonic()
        while not client._pool.under_way:  # type: ignore[union-attr]
            assert time.monotonic() < begun + PATIENCE_S
            threading.Event().wait(0.001)
        client.close()
        for each in asking:
            with pytest.raises(ClientClosed):
                each.result(PATIENCE_S)


def test_close_wakes_asyncio_requests(service: NameService) -> None:
    service.hold()

    async def scene() -> None:
        client = AsyncClientLHC("tcp://slow.lab:5555", timeout_s=3600)

        async def follow() -> None:
            async with client.subscribe("s"):
                pass

        asking = [asyncio.ensure_future(each) for each in (client.get(), client.get(), follow())]
        await asyncio.to_thread(service.wait_asked)
        begun = time.monotonic()
        await client.close()
        for each in asking:
            with pytest.raises(ClientClosed):
                await each
        assert time.monotonic() - begun < AT_ONCE_S

    run(scene())


def test_cancelling_asyncio_requests(service: NameService, server: ServerLHC) -> None:
    service.hosts["pc.lab"] = ["127.0.0.1"]
    service.hold()

    async def scene() -> None:
        async with AsyncClientLHC(at("pc.lab", server), timeout_s=PATIENCE_S) as client:
            asking = [asyncio.ensure_future(client.get()) for _ in range(30)]
            await asyncio.to_thread(service.wait_asked)
            for each in asking:
                each.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            assert all(each.cancelled() for each in asking)
            service.let_go()
            answers = await asyncio.gather(*(client.get() for _ in range(30)))
            assert answers == [{"x": 1.5}] * 30

    run(scene())


def test_asyncio_ends_while_a_name_is_looked_up(service: NameService) -> None:
    service.hold()

    async def scene() -> None:
        async with AsyncClientLHC("tcp://slow.lab:5555", timeout_s=0.2) as client:
            with pytest.raises(RequestTimeout):
                await client.get()
            with pytest.raises(RequestTimeout):
                await client.subscribe("s", timeout_s=0.2)

    begun = time.monotonic()
    run(scene())
    assert time.monotonic() - begun < 0.4 + AT_ONCE_S


def test_a_subscription_is_closed_while_its_name_is_looked_up(
    service: NameService, server: ServerLHC
) -> None:
    service.hosts["pc.lab"] = ["127.0.0.1"]
    with ThreadPoolExecutor(1) as threads:
        with ClientLHC(at("pc.lab", server), timeout_s=PATIENCE_S) as client:
            updates = client.subscribe("s")
            service.hold()
            server.stop()
            waiting = threads.submit(updates.next)
            service.wait_asked(2)
            begun = time.monotonic()
            updates.close()
            with pytest.raises(ClientClosed):
                waiting.result(PATIENCE_S)
            assert time.monotonic() - begun < AT_ONCE_S


@pytest.mark.skipif(sys.platform == "win32", reason="signals to this process")
@pytest.mark.parametrize("ask", [ClientLHC.get, ClientLHC.subscribe])
def test_close_in_a_signal_handler(ask: Any, service: NameService) -> None:
    service.hold()
    client = ClientLHC("tcp://slow.lab:5555", timeout_s=3600)

    def interrupt() -> None:
        service.wait_asked()
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: client.close())
    try:
        with ThreadPoolExecutor(1) as threads:
            interrupting = threads.submit(interrupt)
            with pytest.raises(ClientClosed):
                ask(client)
            interrupting.result(PATIENCE_S)
    finally:
        signal.signal(signal.SIGUSR1, before)


SLOW = """
import socket, sys, threading, time
from laplace_server.client import AsyncClientLHC, ClientLHC
from laplace_server.errors import RequestTimeout
begun = threading.Event()
def slow(*_, **__):
    begun.set()
    time.sleep(60)
socket.getaddrinfo = slow
"""


ENDS = {
    "request": """
        client = ClientLHC("tcp://slow.lab:5555", timeout_s=0.1)
        try:
            client.get()
        except RequestTimeout as error:
            print(error.reason)
        client.close()
    """,
    "collected": """
        import warnings
        warnings.simplefilter("ignore", ResourceWarning)
        client = ClientLHC("tcp://slow.lab:5555", timeout_s=0.1)
        try:
            client.get()
        except RequestTimeout as error:
            print(error.reason)
        del client
    """,
    "daemon": """
        client = ClientLHC("tcp://slow.lab:5555", timeout_s=3600)
        threading.Thread(target=client.get, daemon=True).start()
        begun.wait(30)
        client.close()
        print("the host name 'slow.lab' is still being looked up")
    """,
    "asyncio": """
        import asyncio
        async def main():
            async with AsyncClientLHC("tcp://slow.lab:5555", timeout_s=0.1) as client:
                try:
                    await client.get()
                except RequestTimeout as error:
                    print(error.reason)
        asyncio.run(main())
    """,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_process_ends_while_a_name_is_looked_up(end: str) -> None:
    printed = run_script(SLOW + textwrap.dedent(ENDS[end]), timeout_s=within(20))
    assert printed == "the host name 'slow.lab' is still being looked up\n"


FORK = """
import os, socket, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from laplace_server.client import ClientLHC
system, begun, go_on = socket.getaddrinfo, threading.Event(), threading.Event()
def held(host, *arguments, **options):
    begun.set()
    go_on.wait(60)
    return system("127.0.0.1", *arguments, **options)
socket.getaddrinfo = held
with ClientLHC(f"tcp://pc.lab:{sys.argv[1]}", timeout_s=20) as client:
    asking = threading.Thread(target=client.get)
    asking.start()
    begun.wait(20)
    child = os.fork()
    if not child:
        socket.getaddrinfo = lambda host, *a, **o: system("127.0.0.1", *a, **o)
        status = 1
        try:
            client.get()  # not by the look-up of a thread that is the parent's
            client.close()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    go_on.set()
    asking.join()
    print(os.waitstatus_to_exitcode(status), client.get())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child that opens connections")
def test_a_forked_child_looks_up_by_itself(server: ServerLHC) -> None:
    assert run_script(FORK, str(server.server_port)) == "0 {'x': 1.5}\n"
