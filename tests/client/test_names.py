"""Host names: looked up beside whoever asks, each of their addresses tried."""

from __future__ import annotations

import queue
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.event_loop import run
from support.machine import have_ipv6, within
from support.name_service import NameService
from support.peers import PATIENCE_S
from support.raw_listeners import GREETING, command
from support.raw_server import RawServer
from support.scripted_server import ScriptedServer, answering, silence

from laplace_server import ServerLHC
from laplace_server.client import AsyncClientLHC, ClientLHC, names
from laplace_server.client.names import SILENT
from laplace_server.errors import RequestTimeout

AT_ONCE_S = within(1)


needs_ipv6 = pytest.mark.skipif(not have_ipv6(), reason="this machine has no IPv6")


@pytest.fixture
def server6(make_server: Any) -> ServerLHC:
    server: ServerLHC = make_server(address="tcp://[::1]:*", data={"x": 6})
    server.declare_stream("s")
    return server


def at(host: str, server: ServerLHC) -> str:
    return f"tcp://{host}:{server.server_port}"


# ---- every way to ask: it returns the data or an update, or raises


def get(address: str, timeout_s: float) -> Any:
    with ClientLHC(address, timeout_s=timeout_s) as client:
        return client.get()


def follow(address: str, timeout_s: float) -> Any:
    with ClientLHC(address) as client, client.subscribe("s", timeout_s=timeout_s) as updates:
        return updates.stream


def get_async(address: str, timeout_s: float) -> Any:
    async def scene() -> Any:
        async with AsyncClientLHC(address, timeout_s=timeout_s) as client:
            return await client.get()

    return run(scene())


def follow_async(address: str, timeout_s: float) -> Any:
    async def scene() -> Any:
        async with AsyncClientLHC(address) as client:
            async with client.subscribe("s", timeout_s=timeout_s) as updates:
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
@pytest.mark.usefixtures("each_loop")
def test_who_takes_the_connection_and_says_nothing_listens(way: Way, service: NameService) -> None:
    service.hosts["pc.lab"] = ["127.0.0.1"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for host in ("127.0.0.1", "pc.lab"):
            assert reason_of(way, f"tcp://{host}:{silent.getsockname()[1]}", 0.7) == SILENT


@every_way
@pytest.mark.usefixtures("each_loop")
def test_who_ends_the_handshake_and_says_nothing_may_have_the_request(way: Way) -> None:
    with ScriptedServer(answering(silence)) as server:
        assert reason_of(way, server.address) is None
        assert server.hear_json()["cmd"] in ("GET", "SUBSCRIBE")


@every_way
@needs_ipv6
def test_what_somebody_says_is_told_though_nobody_is_at_another_address(
    way: Way, service: NameService
) -> None:
    service.hosts["pc.lab"] = ["127.0.0.1", "::1"]
    refusal = GREETING + command(b"\x05ERROR\x05later")
    with RawServer(lambda connection: connection.sendall(refusal)) as server:
        address = f"tcp://pc.lab:{server.address.rpartition(':')[2]}"
        assert reason_of(way, address) == "it refused: later"
        assert server.taken > 0


def test_what_was_said_is_forgotten_when_the_name_is_looked_up_again() -> None:
    place = names.Place("tcp://pc.lab:5555")
    found = names.Found(("10.0.0.1", "10.0.0.2"))
    assert place.take(found) is not None
    assert place.telling("it refused") == "it refused"
    assert place.telling(names.NOBODY) == place.telling(names.NO_CONNECTION) == "it refused"
    assert place.telling("it is tired") == "it is tired"
    assert place.telling(names.NOBODY) == "it is tired"
    place.take(found)
    assert place.telling(names.NOBODY) == names.NOBODY
    place.telling("it refused")
    place.worked()
    assert place.telling(names.NO_CONNECTION) == names.NO_CONNECTION
    numeric = names.Place("tcp://10.0.0.1:5555")
    numeric.telling("it refused")
    assert numeric.telling(names.NOBODY) == names.NOBODY


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
    assert get(at("full.lab.", server), PATIENCE_S) == {"x": 1.5}
    service.hosts["local.lab"] = ["127.0.0.1"]  # of a hosts file, which knows no such dots
    assert get(at("local.lab.", server), PATIENCE_S) == {"x": 1.5}
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
        assert [each.result(PATIENCE_S) for each in asking] == [{"x": 1.5}] * 8
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
