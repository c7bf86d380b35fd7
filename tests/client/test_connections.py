"""Threads that share a client, and its connections."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.machine import within
from support.peers import PATIENCE_S
from support.scripted_server import ScriptedServer, answering, echo, silence

from laplace_server import errors
from laplace_server.client import ClientLHC
from laplace_server.client.sync import connections, opening

# -- threads and ends


sync_only = pytest.mark.parametrize("kind", ["sync"], indirect=True)


def test_threads_share_a_client(talking: Any) -> None:
    with talking(echo) as (_, client):

        def ask(worker: int) -> list[Any]:
            return [client.request("ECHO", {"n": [worker, n]})["n"] for n in range(100)]

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(ask, range(8)))
    assert answers == [[[worker, n] for n in range(100)] for worker in range(8)]


@sync_only
def test_many_requests_at_once_leave_few_connections(talking: Any) -> None:
    barrier = threading.Barrier(50)
    with talking(echo) as (_, client):

        def ask(worker: int) -> None:
            barrier.wait(PATIENCE_S)
            for _ in range(3):
                client.request("ECHO")

        with ThreadPoolExecutor(50) as threads:
            list(threads.map(ask, range(50)))
        pool = client._pool
        assert pool is not None
        assert 1 <= len(pool.idle) <= 32
        assert not pool.under_way


@sync_only
def test_connections_are_bounded(talking: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever waits for one gets it."""
    opened: list[Any] = []
    connect = opening.connect

    class Counted:
        def __init__(self, *arguments: Any) -> None:
            opened.append(self)
            self._counted = connect(*arguments)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._counted, name)

        def close(self) -> None:
            opened.remove(self)
            self._counted.close()

    monkeypatch.setattr(opening, "connect", Counted)
    barrier = threading.Barrier(150)
    most = 0

    def ask(client: ClientLHC) -> Any:
        nonlocal most
        barrier.wait(PATIENCE_S)
        answer = client.request("ECHO", {"n": 1})
        most = max(most, len(opened))
        return answer

    with talking(echo) as (_, client):
        with ThreadPoolExecutor(150) as threads:
            assert list(threads.map(ask, [client] * 150)) == [{"n": 1}] * 150
        assert 1 <= most <= 64
        assert client._pool is not None
        assert client._pool.under_way == len(client._pool.waiting) == 0
        assert len(opened) == len(client._pool.idle) <= 32
    assert opened == []


def test_requests_wait_for_a_connection_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind a thread that asks again at once."""
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 1)
    go_on = threading.Event()

    def answer(message: dict[str, Any]) -> list[Any]:
        assert go_on.wait(PATIENCE_S)
        return echo(message)

    with (
        ScriptedServer(answering(answer)) as server,
        ThreadPoolExecutor(4) as threads,
        ClientLHC(server.address, timeout_s=PATIENCE_S) as client,
    ):

        def ask(*numbers: int) -> None:
            for number in numbers:
                client.request("ECHO", {"n": number})

        asking = [threads.submit(ask, 0, 4, 5)]
        for number in (1, 2, 3):
            while client._pool is None or client._pool.under_way < number:
                threading.Event().wait(0.001)
            asking.append(threads.submit(ask, number))
        while client._pool.under_way < 4:
            threading.Event().wait(0.001)
        go_on.set()
        for each in asking:
            each.result(PATIENCE_S)
        heard = [server.hear_json()["payload"]["n"] for _ in range(6)]
    assert heard == [0, 1, 2, 3, 4, 5]


def test_waiting_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    with ScriptedServer(answering(silence)) as server, ThreadPoolExecutor(5) as threads:
        client = ClientLHC(server.address, timeout_s=3600)
        asking = [threads.submit(client.get) for _ in range(2)]
        for _ in asking:
            server.hear_json()
        begun = time.monotonic()
        with pytest.raises(errors.RequestTimeout, match="using all 2 connections") as caught:
            client.get(timeout_s=0.2)
        assert 0.2 <= time.monotonic() - begun < PATIENCE_S
        assert caught.value.reason == "other requests were using all 2 connections of this client"
        asking += [threads.submit(client.get) for _ in range(3)]
        assert client._pool is not None
        while client._pool.under_way < 5:
            threading.Event().wait(0.001)
        begun = time.monotonic()
        client.close()
        for each in asking:
            with pytest.raises(errors.ClientClosed):
                each.result(PATIENCE_S)
        assert time.monotonic() - begun < within(0.4)  # no wait goes on to its next look


@pytest.mark.skipif(sys.platform == "win32", reason="signals to this process")
def test_a_signal_handler_asks_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the request that it interrupts waits for a connection."""
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 1)
    answers: list[Any] = []
    answer = answering(lambda m: silence(m) if m["cmd"] == "GET" else echo(m))
    with ScriptedServer(answer) as server:
        with ThreadPoolExecutor(2) as threads:
            client = ClientLHC(server.address, timeout_s=3600)
            other = ClientLHC(server.address, timeout_s=PATIENCE_S)

            def handle(*_: Any) -> None:
                answers.append(other.request("ECHO", {"n": 1}))
                client.close()

            def interrupt() -> None:
                assert client._pool is not None
                while client._pool.under_way < 2:
                    threading.Event().wait(0.001)
                os.kill(os.getpid(), signal.SIGUSR1)

            holding = threads.submit(client.get)
            assert server.hear_json()["cmd"] == "GET"
            before = signal.signal(signal.SIGUSR1, handle)
            try:
                interrupting = threads.submit(interrupt)
                with pytest.raises(errors.ClientClosed):
                    client.get()
                interrupting.result(PATIENCE_S)
            finally:
                signal.signal(signal.SIGUSR1, before)
            with pytest.raises(errors.ClientClosed):
                holding.result(PATIENCE_S)
            other.close()
    assert answers == [{"n": 1}]
