"""Host names: looked up beside whoever asks, each of their addresses tried."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from event_loop import run
from isolated import run_script
from machine import MACOS, within
from name_service import NameService

from laplace_server import ServerLHC, names
from laplace_server.client import AsyncClientLHC, ClientLHC
from laplace_server.errors import ClientClosed, RequestTimeout

PATIENCE_S = within(20)
AT_ONCE_S = within(1)


def have_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not have_ipv6(), reason="this machine has no IPv6")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameService]:
    service = NameService(monkeypatch)
    yield service
    service.let_go()


@pytest.fixture
def server(make_server: Any) -> ServerLHC:
    server: ServerLHC = make_server(data={"x": 1})
    server.declare_stream("s")
    return server


@pytest.fixture
def server6(make_server: Any) -> ServerLHC:
    server: ServerLHC = make_server(address="tcp://[::1]:*", data={"x": 6})
    server.declare_stream("s")
    return server


def at(host: str, server: ServerLHC) -> str:
    return f"tcp://{host}:{server.server_port}"


@pytest.fixture
def refused() -> Iterator[int]:
    """A port where nobody listens, and nobody else will."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


# ---- every way to ask: it returns the data or an update, or raises


def get(address: str, timeout_s: float) -> Any:
    with ClientLHC(address, timeout_s=timeout_s) as client:
        return client.get()


def follow(address: str, timeout_s: float) -> Any:
    with ClientLHC(address, timeout_s=timeout_s) as client, client.subscribe("s") as updates:
        return updates.stream


def get_async(address: str, timeout_s: float) -> Any:
    async def scene() -> Any:
        async with AsyncClientLHC(address, timeout_s=timeout_s) as client:
            return await client.get()

    return run(scene())


def follow_async(address: str, timeout_s: float) -> Any:
    async def scene() -> Any:
        async with AsyncClientLHC(address, timeout_s=timeout_s) as client:
            async with client.subscribe("s") as updates:
                return updates.stream

    return run(scene())


Way = Callable[[str, float], Any]
every_way = pytest.mark.parametrize("way", [get, follow, get_async, follow_async])


def reason_of(way: Way, address: str, timeout_s: float = 0.3) -> str | None:
    """Why it timed out, which must be told in time."""
    begun = time.monotonic()
    with pytest.raises(RequestTimeout) as caught:
        way(address, timeout_s)
    assert timeout_s <= time.monotonic() - begun < timeout_s + AT_ONCE_S
    reason = caught.value.reason
    assert str(caught.value).endswith(f"within {timeout_s:g} s{f': {reason}' if reason else ''}.")
    return reason


# ---- addresses


@every_way
def test_a_name_is_found(way: Way, service: NameService, server: ServerLHC) -> None:
    service.hosts["pc.lab"] = ["127.0.0.1"]
    assert way(at("pc.lab", server), PATIENCE_S)
    assert service.asked == ["pc.lab"]


@every_way
@needs_ipv6
@pytest.mark.parametrize(
    "hosts", [["::1"], ["::1", "127.0.0.1"], ["127.0.0.1", "::1"]], ids=" ".join
)
def test_a_server_on_ipv6(
    way: Way, hosts: list[str], service: NameService, server6: ServerLHC
) -> None:
    service.hosts["pc.lab"] = hosts
    assert way(at("pc.lab", server6), PATIENCE_S)


@every_way
@needs_ipv6
@pytest.mark.parametrize("hosts", [["::1", "127.0.0.1"], ["127.0.0.1", "::1"]], ids=" ".join)
def test_a_server_on_ipv4(
    way: Way, hosts: list[str], service: NameService, server: ServerLHC
) -> None:
    service.hosts["pc.lab"] = hosts
    assert way(at("pc.lab", server), PATIENCE_S)


@every_way
@needs_ipv6
def test_localhost_is_not_looked_up(
    way: Way, monkeypatch: pytest.MonkeyPatch, server: ServerLHC, server6: ServerLHC
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("asked for")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert way(at("localhost", server), PATIENCE_S)
    assert way(at("LocalHost.", server6), PATIENCE_S)


@every_way
def test_a_silent_address_holds_up_the_next_for_a_moment(
    way: Way, service: NameService, server: ServerLHC
) -> None:
    """A backlog that is full: the system answers nothing, as where a firewall drops."""
    with socket.socket() as full:
        full.bind(("127.0.0.2", int(server.server_port)))
        full.listen(0)
        with_full: list[socket.socket] = []
        try:
            while _takes_connections(("127.0.0.2", int(server.server_port)), with_full):
                if len(with_full) > 100:
                    pytest.skip("this system takes more connections than it was told to")
            service.hosts["pc.lab"] = ["127.0.0.2", "127.0.0.1"]
            begun = time.monotonic()
            assert way(at("pc.lab", server), PATIENCE_S)
            assert time.monotonic() - begun < within(1.5)
        finally:
            for each in with_full:
                each.close()


def _takes_connections(address: tuple[str, int], kept: list[socket.socket]) -> bool:
    probe = socket.socket()
    kept.append(probe)
    probe.settimeout(0.2)
    try:
        probe.connect(address)
    except (TimeoutError, OSError):
        return False
    return True


@pytest.mark.parametrize("asking", [ClientLHC, AsyncClientLHC])
def test_what_worked_is_remembered_and_looked_up_again_after_a_failure(
    asking: Any, service: NameService, make_server: Any
) -> None:
    first = make_server(data={"x": 1})
    service.hosts["pc.lab"] = ["127.0.0.1"]

    async def scene() -> None:
        client = asking(at("pc.lab", first), timeout_s=PATIENCE_S)

        async def ask(timeout_s: float = PATIENCE_S) -> Any:
            answer = client.get(timeout_s=timeout_s)
            return answer if asking is ClientLHC else await answer

        for _ in range(3):
            assert await ask() == {"x": 1}
        assert service.asked == ["pc.lab"]
        first.stop()
        with pytest.raises(RequestTimeout):
            await ask(0.3)
        # It has moved to another address, and is found there.
        service.hosts["pc.lab"] = ["127.0.0.2"]
        second = make_server(address=f"tcp://127.0.0.2:{first.server_port}", data={"x": 2})
        assert await ask() == {"x": 2}
        assert len(service.asked) > 1
        second.stop()
        closing = client.close()
        if closing is not None:
            await closing

    if sys.platform == "darwin":
        pytest.skip("macOS has no 127.0.0.2")
    run(scene())


def test_a_name_moves_while_a_subscription_lasts(service: NameService, make_server: Any) -> None:
    if sys.platform == "darwin":
        pytest.skip("macOS has no 127.0.0.2")
    first = make_server()
    first.declare_stream("s")
    service.hosts["pc.lab"] = ["127.0.0.1"]
    with ClientLHC(at("pc.lab", first), timeout_s=PATIENCE_S) as client:
        with client.subscribe("s") as updates:
            first.publish("s", {"n": 1})
            assert updates.next(PATIENCE_S).data == {"n": 1}
            first.stop()
            service.hosts["pc.lab"] = socket.gaierror(socket.EAI_AGAIN, "Try again")
            with pytest.raises(TimeoutError):
                updates.next(0.5)
            service.hosts["pc.lab"] = ["127.0.0.2"]
            second = make_server(address=f"tcp://127.0.0.2:{first.server_port}")
            second.declare_stream("s")
            second.publish("s", {"n": 2})
            assert updates.next(PATIENCE_S).data == {"n": 2}


# ---- names that fail


@every_way
def test_reasons_differ(way: Way, service: NameService, server: ServerLHC, refused: int) -> None:
    service.hosts["pc.lab"] = ["127.0.0.1"]
    unknown = reason_of(way, f"tcp://nobody.lab:{refused}")
    assert unknown == "the host name 'nobody.lab' is not known (Name not known)"
    service.hosts["down.lab"] = socket.gaierror(socket.EAI_AGAIN, "Try again")
    assert reason_of(way, f"tcp://down.lab:{refused}") == (
        "the host name 'down.lab' cannot be looked up (Try again)"
    )
    assert reason_of(way, f"tcp://a..lab:{refused}") == (
        "the host name 'a..lab' is not known (Name not known)"
    )
    for host in ("127.0.0.1", "pc.lab", "localhost"):
        assert reason_of(way, f"tcp://{host}:{refused}") == "nobody listens there"
    service.hold()
    assert reason_of(way, at("slow.lab", server)) == (
        "the host name 'slow.lab' is still being looked up"
    )
    service.let_go()


@every_way
def test_who_takes_the_connection_and_says_nothing_listens(way: Way, service: NameService) -> None:
    service.hosts["pc.lab"] = ["127.0.0.1"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for host in ("127.0.0.1", "pc.lab"):
            assert reason_of(way, f"tcp://{host}:{silent.getsockname()[1]}", 0.7) is None


@every_way
def test_a_name_that_is_known_later(way: Way, service: NameService, server: ServerLHC) -> None:
    """Such as where the network comes up after the program."""
    service.hosts["pc.lab"] = socket.gaierror(socket.EAI_AGAIN, "Try again")
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(way, at("pc.lab", server), PATIENCE_S)
        service.wait_asked(2)
        service.hosts["pc.lab"] = ["127.0.0.1"]
        assert asking.result(PATIENCE_S)


@every_way
def test_a_slow_look_up_is_waited_for(way: Way, service: NameService, server: ServerLHC) -> None:
    service.hosts["pc.lab"] = ["127.0.0.1"]
    service.hold()
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(way, at("pc.lab", server), PATIENCE_S)
        service.wait_asked()
        service.let_go()
        assert asking.result(PATIENCE_S)
    assert service.asked == ["pc.lab"]


@every_way
def test_a_server_that_is_there_later(way: Way, service: NameService, make_server: Any) -> None:
    service.hosts["pc.lab"] = ["127.0.0.1"]
    holder = make_server(start=False)
    address = at("pc.lab", holder)
    holder.stop()
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(way, address, PATIENCE_S)
        service.wait_asked(2)
        later = make_server(address=f"tcp://127.0.0.1:{holder.server_port}", data={"x": 1})
        later.declare_stream("s")
        try:
            assert asking.result(PATIENCE_S)
        except RequestTimeout:
            raise
        except Exception as error:  # it came between start() and declare_stream()
            assert "No such stream" in str(error)


def test_a_dot_at_the_end(service: NameService, server: ServerLHC) -> None:
    service.hosts["full.lab."] = ["127.0.0.1"]
    assert get(at("full.lab.", server), PATIENCE_S) == {"x": 1}
    service.hosts["local.lab"] = ["127.0.0.1"]  # of a hosts file, which knows no such dots
    assert get(at("local.lab.", server), PATIENCE_S) == {"x": 1}
    assert service.asked == ["full.lab.", "local.lab.", "local.lab"]


def test_one_look_up_for_all_who_ask_meanwhile(service: NameService, server: ServerLHC) -> None:
    service.hosts["pc.lab"] = ["127.0.0.1"]
    service.hold()
    address = at("pc.lab", server)
    with ThreadPoolExecutor(9) as threads:
        asking = [threads.submit(get, address, PATIENCE_S) for _ in range(8)]
        service.wait_asked()
        # Impatient ones leave it to the others.
        assert reason_of(get, address) == "the host name 'pc.lab' is still being looked up"
        service.let_go()
        assert [each.result(PATIENCE_S) for each in asking] == [{"x": 1}] * 8
    assert len(service.asked) <= 9  # those that came late, but one, found it done


def test_a_look_up_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(names._thread, "start_new_thread", refuse)
    found: list[names.Found] = []
    names.find("pc.lab", found.append)
    assert found == [
        ((), "the host name 'pc.lab' cannot be looked up (can't start new thread)"),
    ]
    assert not names._under_way


def test_an_interrupted_look_up_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, service: NameService
) -> None:
    def interrupt(*_: Any) -> int:
        raise KeyboardInterrupt

    service.hosts["pc.lab"] = ["10.0.0.1", "::1", "10.0.0.1"]
    with monkeypatch.context() as patch:
        patch.setattr(names._thread, "start_new_thread", interrupt)
        with pytest.raises(KeyboardInterrupt):
            names.find("pc.lab", lambda found: None)
    found: queue.SimpleQueue[names.Found] = queue.SimpleQueue()
    names.find("pc.lab", found.put)
    assert found.get(timeout=PATIENCE_S) == (("10.0.0.1", "[::1]"), "")


# ---- ends, while a look-up takes its time


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
            assert answers == [{"x": 1}] * 30

    run(scene())


def test_asyncio_ends_while_a_name_is_looked_up(service: NameService) -> None:
    service.hold()

    async def scene() -> None:
        async with AsyncClientLHC("tcp://slow.lab:5555", timeout_s=0.2) as client:
            with pytest.raises(RequestTimeout):
                await client.get()
            with pytest.raises(RequestTimeout):
                await client.subscribe("s")

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
    assert run_script(FORK, str(server.server_port)) == "0 {'x': 1}\n"
