"""Connections in an event loop: what comes, what has to wait, and how they break."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from support import event_loop
from support.event_loop import LOOPS, run
from support.isolated import Child, run_script
from support.machine import MACOS, WINDOWS, descriptors, memory, resident
from support.peers import PATIENCE_S, address_of
from support.raw_listeners import OPENING, message, ping
from support.raw_peers import RawPeer
from support.raw_server import RawServer, shake_hands
from support.scripted_server import ScriptedServer, answering, echo, reply_to
from support.serving import serving
from support.stream_messages import answer, updates
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import AsyncClientLHC
from laplace_server.client._frames import CLOSED_EARLY
from laplace_server.errors import ClientClosed, RequestTimeout
from laplace_server.wire import message_json

pytestmark = pytest.mark.usefixtures("each_loop")

no_server = pytest.mark.transports()


async def reason_of(address: str, timeout_s: float = 0.5) -> str | None:
    """Why a request had no answer."""
    async with AsyncClientLHC(address, timeout_s=timeout_s) as client:
        with pytest.raises(RequestTimeout) as caught:
            await client.get()
    return caught.value.reason


# ---- what has to wait


def test_large_messages_both_ways_at_once(server: ServerLHC) -> None:
    server.register_handler("ECHO", lambda server, message, target: message["payload"])
    texts = [character * (10 << 20) for character in "abc"]

    async def scene() -> None:
        async with AsyncClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
            asking = [client.request("ECHO", {"text": text}) for text in texts]
            answers = await asyncio.gather(*asking, *(client.get() for _ in range(5)))
            assert [each["text"] for each in answers[:3]] == texts
            assert answers[3:] == [{"x": 1.5}] * 5

    run(scene())


def test_a_request_that_is_given_up_is_not_sent_on() -> None:
    """Though part of it has left already."""
    received: queue.SimpleQueue[int] = queue.SimpleQueue()
    go_on = threading.Event()

    def talk(connection: socket.socket) -> None:
        shake_hands(connection)
        go_on.wait(PATIENCE_S)
        count = 0
        try:
            while more := connection.recv(1 << 20):
                count += len(more)
        except ConnectionError:
            pass
        received.put(count)

    async def scene(address: str) -> None:
        async with AsyncClientLHC(address, timeout_s=0.5) as client:
            with pytest.raises(RequestTimeout):
                await client.request("LARGE", {"text": "x" * (64 << 20)})
            go_on.set()
            assert await asyncio.to_thread(received.get, True, PATIENCE_S) < 64 << 20

    with RawServer(talk) as server:
        run(scene(server.address))


@no_server
def test_a_subscription_that_is_not_read_stops_reading() -> None:
    """Whatever is sent to it; and nothing of that is lost."""
    text = "x" * (1 << 20)
    sent: queue.SimpleQueue[int] = queue.SimpleQueue()

    def message(peer: RawPeer, number: int) -> bytes:
        head = updates(number, number)[1][:72]  # with the time of one update
        return peer.message([b"", head + json.dumps([{"n": number, "text": text}]).encode()])

    def talk(connection: socket.socket) -> None:
        peer = shake_hands(connection)
        peer.receive_frames()
        peer.send_frames(answer())
        connection.settimeout(1)
        number, rest = 0, b""
        try:
            while number < 200:
                number += 1
                rest = message(peer, number)
                while rest:
                    rest = rest[connection.send(rest) :]
        except TimeoutError:
            connection.settimeout(PATIENCE_S)
        sent.put(number)
        connection.sendall(rest)
        while connection.recv(1000):
            pass

    async def scene(address: str) -> None:
        async with AsyncClientLHC(address, timeout_s=PATIENCE_S) as client:
            async with client.subscribe("s") as followed:
                count = await asyncio.to_thread(sent.get, True, PATIENCE_S)
                assert count < 100
                taken = [(await followed.next(PATIENCE_S)).data["n"] for _ in range(count)]
                assert taken == list(range(1, count + 1))
                assert followed.lost == 0

    with RawServer(talk) as server:
        run(scene(server.address))


@no_server
@pytest.mark.parametrize("work", ["request", "subscription"])
def test_pings_are_answered(work: str) -> None:
    ping = b"\x04\x0c\x04PING\x00\x64hello"
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def talk(connection: socket.socket) -> None:
        peer = shake_hands(connection)
        route = peer.receive_frames()[:-1]
        connection.sendall(ping)
        heard.put(peer.read_exactly(len("..PONGhello") + 1))
        payload = {"data": {"x": 1}, "epoch": 7, "first": 1, "last": 0, "next": 1}
        reply = reply_to({"from": "", "cmd": ""}, payload)
        peer.send_frames([*route, message_json.encoded(reply)])
        while connection.recv(1000):
            pass

    async def scene(address: str) -> None:
        async with AsyncClientLHC(address, timeout_s=PATIENCE_S) as client:
            if work == "request":
                assert await client.get() == {"x": 1}
            else:
                await (await client.subscribe("s")).close()

    with RawServer(talk) as server:
        run(scene(server.address))
    assert heard.get(timeout=PATIENCE_S) == b"\x04\x0a\x04PONGhello"


@no_server
def test_a_ping_beside_the_reply_costs_no_connection() -> None:
    """Its answer may not have left when the reply is read."""

    def talk(connection: socket.socket) -> None:
        peer = shake_hands(connection)
        body = message_json.encoded(reply_to({"from": "", "cmd": ""}, {"data": {"x": 1}}))
        while connection.recv(1, socket.MSG_PEEK):
            route = peer.receive_frames()[:-1]
            connection.sendall(ping(b"hello") + peer.message([*route, body]))
            assert peer.read_frame() == (b"\x04PONGhello", False)

    async def scene(address: str) -> None:
        async with AsyncClientLHC(address, timeout_s=PATIENCE_S) as client:
            for _ in range(5):
                assert await client.get() == {"x": 1}

    with RawServer(talk) as server:
        run(scene(server.address))
        assert server.taken == 1


@no_server
def test_answers_that_nobody_reads_cost_no_memory() -> None:
    """Also where pings come few at a time."""
    pings = ping(b"0123456789abcdef") * 160

    async def scene(listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with AsyncClientLHC(f"tcp://127.0.0.1:{listener.getsockname()[1]}") as client:
            asking = asyncio.ensure_future(client.get(timeout_s=10 * PATIENCE_S))
            peer, _ = await loop.sock_accept(listener)
            with peer:
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await loop.sock_sendall(peer, OPENING)
                before = resident()
                for _ in range(30_000):
                    await loop.sock_sendall(peer, pings)
                    await asyncio.sleep(0)
                assert resident() - before < memory(20)
                assert not asking.done()
                asking.cancel()
                await asyncio.wait([asking])

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        run(scene(listener))


# ---- how they break


@no_server
def test_who_closes_in_the_handshake_is_asked_again() -> None:
    with RawServer(lambda connection: None) as server:
        reason = run(reason_of(server.address))
        assert reason == CLOSED_EARLY
        assert server.taken > 1


@no_server
@pytest.mark.parametrize(
    ("greeting", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "ZMTP"),
        (RawPeer.GREETING.replace(b"NULL\0", b"CURVE"), "mechanism"),
    ],
)
def test_what_is_no_server_is_told(greeting: bytes, told: str) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(greeting)
        while connection.recv(100):
            pass

    with RawServer(talk) as server:
        reason = run(reason_of(server.address))
    assert reason is not None
    assert told in reason


@no_server
def test_a_request_that_was_handed_over_is_not_sent_again() -> None:
    """Nobody knows whether it has run."""
    bodies: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        bodies.append(shake_hands(connection).receive_frames()[-1])

    with RawServer(talk) as server:
        assert run(reason_of(server.address)) is None
        assert (len(bodies), server.taken) == (1, 1)


@no_server
def test_close_wakes_a_request_whose_connection_broke() -> None:
    heard = threading.Event()

    def talk(connection: socket.socket) -> None:
        shake_hands(connection).receive_frames()
        heard.set()

    async def scene(address: str) -> None:
        client = AsyncClientLHC(address, timeout_s=3600)
        waiting = asyncio.ensure_future(client.get())
        assert await asyncio.to_thread(heard.wait, PATIENCE_S)
        await client.close()
        with pytest.raises(ClientClosed):
            await waiting

    with RawServer(talk) as server:
        run(scene(server.address))


def test_what_broke_while_idle_is_replaced_before_anything_is_sent() -> None:
    async def scene() -> None:
        with serving(data={"x": 1}) as first:
            address = address_of(first)
            client = AsyncClientLHC(address, timeout_s=PATIENCE_S)
            assert await client.get() == {"x": 1}
        with serving(address, data={"x": 2}):
            await asyncio.sleep(0.01)  # transports tell by callbacks alone
            assert await client.get() == {"x": 2}
        await client.close()

    run(scene())


@no_server
def test_a_reply_behind_much_that_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found at once, not when somebody looks for what was lost."""
    monkeypatch.setattr("laplace_server.client.asyncio.bell.LONGEST_WAIT_S", 3600.0)

    def talk(connection: socket.socket) -> None:
        peer = shake_hands(connection)
        *route, body = peer.receive_frames()
        reply = json.dumps(reply_to(json.loads(body), {"data": {"x": 1}})).encode()
        connection.sendall(message(b"12345678", b"", b"{}") * 50 + message(*route, reply))
        connection.recv(1)

    async def scene(address: str) -> None:
        async with AsyncClientLHC(address, timeout_s=PATIENCE_S) as client:
            assert await client.get() == {"x": 1}

    with RawServer(talk) as server:
        run(scene(server.address))


@no_server
def test_what_comes_unasked_is_nobodys() -> None:
    """Also where it looks as an answer."""

    async def scene(server: ScriptedServer) -> None:
        async with AsyncClientLHC(server.address, timeout_s=PATIENCE_S) as client:
            assert await client.request("ECHO", {"n": 1}) == {"n": 1}
            late = reply_to(server.hear_json(), {"n": 0})
            for n in range(2, 10):
                for frames in ([b"", b"{}"], [b""], [b"{}"], [b"", json.dumps(late).encode()]):
                    server.send(frames)
                assert await client.request("ECHO", {"n": n}) == {"n": n}
                server.hear()

    with ScriptedServer(answering(echo)) as server:
        run(scene(server))


@pytest.mark.parametrize("kinds", list(itertools.permutations(LOOPS)))
def test_loops_of_both_kinds_in_turn(
    server: ServerLHC, kinds: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = AsyncClientLHC(address_of(server), timeout_s=PATIENCE_S)
    followed = client.subscribe("s", start="oldest")

    async def use() -> int:
        await followed
        number = server.publish("s", {})
        assert await client.get() == {"x": 1.5}
        return (await followed.next(PATIENCE_S)).seq - number

    async def end() -> None:
        await followed.close()
        await client.close()

    for kind in (*kinds, *kinds):
        monkeypatch.setattr(event_loop, "factory", LOOPS[kind])
        assert run(use()) == 0
    assert followed.lost == 0
    run(end())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_is_forgotten_in_another_thread_is_closed_by_the_loop(server: ServerLHC) -> None:
    server.publish("s", {})

    async def scene() -> None:
        client = AsyncClientLHC(address_of(server), timeout_s=PATIENCE_S)
        holder: list[Any] = [client, await client.subscribe("s", start=1)]
        await asyncio.gather(client.get(), client.get(), holder[1].next(PATIENCE_S))
        del client
        await asyncio.to_thread(holder.clear)
        await asyncio.to_thread(wait_until, lambda: server.stats().connections == 0, "all closed")

    run(scene())


# ---- what they cost


@pytest.mark.skipif(WINDOWS, reason="counts no descriptors")
def test_a_descriptor_each(server: ServerLHC) -> None:
    server.publish("s", {})

    async def scene() -> None:
        async with AsyncClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
            before = descriptors()
            await client.get()
            # One here, and one in the server.
            assert descriptors() <= before + 2
            async with client.subscribe("s"), client.subscribe("s"):
                assert descriptors() <= before + 6
            await asyncio.to_thread(
                wait_until, lambda: descriptors() <= before + 2, "they are closed"
            )

    run(scene())


SHORT_OF_DESCRIPTORS = """
import asyncio, os, resource, sys
from laplace_server.client import AsyncClientLHC

async def subscribe(client):
    async with client.subscribe("s"):
        pass

async def main():
    client = AsyncClientLHC(sys.argv[1], timeout_s=20)
    await subscribe(client)
    free = os.dup(0)
    os.close(free)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    refused = 0
    for few in range(20):
        for use in (AsyncClientLHC.ping, subscribe):
            resource.setrlimit(resource.RLIMIT_NOFILE, (free + few, most))
            try:
                await use(client)
            except Exception as problem:
                assert "Too many open files" in str(problem), problem
                refused += 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 100, most))
    await client.ping()
    await subscribe(client)
    await client.close()
    print(2 <= refused < 10)

asyncio.run(main())
"""


@pytest.mark.skipif(WINDOWS, reason="has no such limit")
def test_a_process_goes_on_where_descriptors_run_out(server: ServerLHC) -> None:
    assert run_script(SHORT_OF_DESCRIPTORS, address_of(server)) == "True\n"


FORK = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from laplace_server.client import AsyncClientLHC

async def main():
    client = AsyncClientLHC(sys.argv[1], timeout_s=20)
    await client.get()
    updates = await client.subscribe("s")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    await client.get()
    await updates.close()
    await client.close()
    print("closed", flush=True)
    sys.stdin.readline()
    os.close(writing)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child")
def test_a_forked_child_keeps_no_connection_open(
    server: ServerLHC, make_child: Callable[..., Child]
) -> None:
    server.publish("s", {})
    child = make_child(FORK, address_of(server))
    assert child.hear() == "closed"
    wait_until(lambda: server.stats().connections == 0, "the server sees that they are closed")
    child.tell("end")
    assert child.hear() == "0"
