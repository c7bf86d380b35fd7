"""``empty_data_after_get``: each value is given once, and none is lost."""

from __future__ import annotations

import itertools
import json
import queue
import threading
from typing import Any

import numpy as np
import pytest
import zmq
from support.live_data import MakeChild, hold_gil
from support.machine import within
from support.peers import Connect, Peer, message
from support.serving import MakeServer
from support.waiting import eventually

from laplace_server import ServerLHC
from laplace_server.stats import ErrorKind


def test_each_value_is_given_once(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(data={"n": 0}, empty_data_after_get=True)
    client = connect(server)
    assert [client.get(), client.get()] == [{"n": 0}, {}]
    kept = {"n": 1, "list": [1]}
    for copy in (False, True):
        server.set_data(kept, copy)
        assert [client.get(), client.get()] == [{"n": 1, "list": [1]}, {}]
        assert kept == {"n": 1, "list": [1]}
        assert server.data == {}
    kept["n"] = 2
    assert client.get() == {}  # taken: what becomes of it is the caller's business
    server.set_data({"large": np.ones(20_000)})
    assert [client.get(), client.get()] == [{"large": [1.0] * 20_000}, {}]
    server.empty_data_after_get = False
    server.set_data({"n": 3})
    assert [client.get(), client.get()] == [{"n": 3}, {"n": 3}]
    server.set_data({"large": np.ones(20_000)})
    server.empty_data_after_get = True
    assert [client.get(), client.get()] == [{"large": [1.0] * 20_000}, {}]


def test_a_callback_fills_each_reply(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(empty_data_after_get=True)
    numbers = itertools.count()
    server.set_on_get(lambda: server.set_data({"n": next(numbers)}))
    client = connect(server)
    assert [client.get()["n"] for _ in range(5)] == [0, 1, 2, 3, 4]
    server.set_on_get(None)
    assert client.get() == {}


def test_data_read_after_it_was_taken_is_new(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(data={"n": 0}, empty_data_after_get=True)
    client = connect(server)
    client.get()
    assert server.data == {}
    server.data["n"] = 1
    assert [client.get(), client.get()] == [{}, {}]
    server.set_data({"n": [1]})
    assert server.data == {"n": [1]}
    assert [client.get(), client.get()] == [{"n": [1]}, {}]


@pytest.mark.parametrize("how", ["copy", "live", "callback"])
def test_with_many_clients_no_value_is_lost_or_doubled(
    how: str, make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(empty_data_after_get=True)
    if how == "callback":
        server.set_on_get(lambda: None)
    clients = [connect(server) for _ in range(4)]
    delivered: queue.SimpleQueue[int] = queue.SimpleQueue()
    end = threading.Event()

    def read(client: Peer) -> None:
        while not end.is_set():
            data = client.get()
            if data:
                delivered.put(data["n"])

    threads = [threading.Thread(target=read, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    count = 400
    kept: dict[str, Any] = {"n": -1}
    try:
        # One at a time: each must come, once, before the next is set.
        for n in range(count):
            if how == "live":
                kept = {"n": n}
            server.set_data(kept if how == "live" else {"n": n}, copy=how == "copy")
            assert delivered.get(timeout=20) == n
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert delivered.empty()


def test_a_fast_producer_replaces_values_but_none_comes_twice(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(empty_data_after_get=True)
    clients = [connect(server) for _ in range(4)]
    read: list[list[int]] = [[] for _ in clients]
    end = threading.Event()

    def reader(client: Peer, mine: list[int]) -> None:
        while not end.is_set():
            data = client.get()
            if data:
                mine.append(data["n"])

    threads = [
        threading.Thread(target=reader, args=pair) for pair in zip(clients, read, strict=True)
    ]
    for thread in threads:
        thread.start()
    last = 3000
    for n in range(last + 1):
        data = {"n": n}
        server.set_data(data, copy=n % 2 == 0)
    assert eventually(lambda: any(last in mine for mine in read))
    end.set()
    for thread in threads:
        thread.join()
    assert clients[0].get() == {}
    everything = sorted(itertools.chain(*read))
    assert len(everything) == len(set(everything))
    assert all(mine == sorted(mine) for mine in read)


def gone(server: ServerLHC) -> bool:
    return eventually(lambda: server.stats().connections == 0)


@pytest.mark.parametrize("live", [False, True])
def test_a_value_whose_reply_is_refused_is_put_back(
    live: bool, make_server: MakeServer, connect: Connect
) -> None:
    data = {"n": 1}
    server = make_server(empty_data_after_get=True)
    server.set_data(data, copy=not live)
    asked, answer = threading.Event(), threading.Event()

    def on_get() -> None:
        asked.set()
        assert answer.wait(20)

    server.set_on_get(on_get)
    impatient = connect(server, kind=zmq.DEALER)
    impatient.send("GET")
    assert asked.wait(20)
    impatient.close()
    assert gone(server)
    # libzmq tells of it before it ends the pipe, but ends that before it reads from another.
    connect(server).ask("PING")
    answer.set()
    assert eventually(lambda: server.stats().errors[ErrorKind.UNROUTABLE] == 1)
    assert server.data == {"n": 1}
    server.set_on_get(None)
    client = connect(server)
    assert [client.get(), client.get()] == [{"n": 1}, {}]


def test_a_value_whose_reader_left_before_the_refresh_is_put_back(
    make_server: MakeServer, connect: Connect, make_child: MakeChild
) -> None:
    server = make_server(empty_data_after_get=True, refresh_timeout_ms=20_000)
    data = {"n": 1}
    server.set_data(data)
    child = make_child(
        """
        import sys, time, zmq
        from support.peers import Peer
        context = zmq.Context()
        client = Peer(sys.argv[1], zmq.DEALER, context=context)
        client.ask("PING")
        print("ready", flush=True)
        sys.stdin.readline()
        time.sleep(float(sys.argv[2]))  # until the other side holds the GIL and cannot say so
        client.socket.linger = 1000
        client.send("GET")
        client.close()
        context.term()
        """,
        f"tcp://127.0.0.1:{server.server_port}",
        str(within(0.1)),
    )
    assert child.hear() == "ready"
    child.tell("go")
    hold_gil(within(0.5))  # no refresh before it has gone
    assert gone(server)
    client = connect(server)
    assert [client.get(), client.get()] == [{"n": 1}, {}]


def park_a_value(server: ServerLHC, context: zmq.Context[Any]) -> tuple[zmq.Socket[bytes], int]:
    """A peer that does not read, and the value that its parked reply carries."""
    peer: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    peer.rcvhwm = 1
    peer.rcvbuf = 4096
    peer.connect(f"tcp://127.0.0.1:{server.server_port}")
    get = json.dumps(message("GET")).encode()
    # As much as the system's buffers and libzmq take, and one more.
    for n in itertools.count():
        server.set_data({"n": n, "much": "x" * 65536}, copy=True)
        peer.send_multipart([b"", get])
        sent = n + 1
        assert eventually(
            lambda sent=sent: server.stats().commands["GET"].native == sent or parked(server)  # type: ignore[misc]
        )
        # The system's buffers may still grow a little.
        if parked(server) and not eventually(lambda: not parked(server), 0.2):
            return peer, n
    raise AssertionError


def parked(server: ServerLHC) -> bool:
    return server.stats().parked_bytes > 0


def test_a_value_in_a_parked_reply_is_put_back_when_the_peer_goes(
    make_server: MakeServer, connect: Connect, context: zmq.Context[Any]
) -> None:
    server = make_server(empty_data_after_get=True)
    peer, n = park_a_value(server, context)
    client = connect(server)
    assert client.get() == {}
    peer.close()
    assert eventually(lambda: not parked(server))
    assert client.get().get("n") == n
    assert client.get() == {}


def test_what_is_put_back_does_not_replace_newer_data(
    make_server: MakeServer, connect: Connect, context: zmq.Context[Any]
) -> None:
    server = make_server(empty_data_after_get=True)
    peer, _ = park_a_value(server, context)
    server.set_data({"newer": 1})
    peer.close()
    assert eventually(lambda: not parked(server))
    client = connect(server)
    assert [client.get(), client.get()] == [{"newer": 1}, {}]
