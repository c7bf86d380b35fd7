"""How clients are closed, copied, forgotten and collected."""

from __future__ import annotations

import copy
import dataclasses
import gc
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.both_clients import Kind
from support.machine import OWN_THREADS, native_threads
from support.peers import PATIENCE_S, address_of
from support.scripted_server import ScriptedServer, answering, echo, silence

from laplace_server import ServerLHC, errors
from laplace_server.client import ClientLHC


@dataclasses.dataclass
class Holder:
    held: Any


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, pickle.dumps, lambda one: dataclasses.asdict(Holder(one))]
)
def test_copies_are_refused(copied: Callable[[Any], Any], server: ServerLHC) -> None:
    with ClientLHC(address_of(server), timeout_s=PATIENCE_S) as client, client.subscribe("s") as s:
        for one in (client, s):
            with pytest.raises(TypeError, match="make one where it is needed"):
                copied(one)
        gc.collect()
        assert client.get() == {"x": 1.5}
        server.publish("s", {"n": 1})
        assert s.next(PATIENCE_S).data == {"n": 1}


def test_closed_client(client: Any) -> None:
    client.get()
    assert not client.closed
    client.close()
    client.close()
    assert client.closed
    assert "closed" in repr(client)
    with pytest.raises(errors.ClientClosed):
        client.get()
    with pytest.raises(errors.ClientClosed), client:
        pass


def test_close_wakes_requests_of_other_threads() -> None:
    with ScriptedServer(answering(silence)) as server, ThreadPoolExecutor(3) as threads:
        client = ClientLHC(server.address, timeout_s=3600)
        waiting = [threads.submit(client.get) for _ in range(3)]
        for _ in waiting:
            server.hear_json()
        closing = [threading.Thread(target=client.close) for _ in range(3)]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(PATIENCE_S)
        for future in waiting:
            with pytest.raises(errors.ClientClosed):
                future.result(PATIENCE_S)


@pytest.mark.skipif(sys.platform == "win32", reason="signals to this process")
def test_close_in_a_signal_handler_ends_the_request_it_interrupted() -> None:
    with ScriptedServer(answering(silence)) as server, ThreadPoolExecutor(1) as threads:
        client = ClientLHC(server.address, timeout_s=3600)

        def interrupt() -> None:
            server.hear_json()
            os.kill(os.getpid(), signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, lambda *_: client.close())
        try:
            interrupting = threads.submit(interrupt)
            with pytest.raises(errors.ClientClosed):
                client.get()
            interrupting.result(PATIENCE_S)
        finally:
            signal.signal(signal.SIGUSR1, before)


def test_close_races_with_requests() -> None:
    with ScriptedServer(answering(echo)) as server, ThreadPoolExecutor(4) as threads:
        for _ in range(50):
            client = ClientLHC(server.address, timeout_s=PATIENCE_S)
            barrier = threading.Barrier(5)

            def ask(client: ClientLHC = client, barrier: threading.Barrier = barrier) -> bool:
                barrier.wait(PATIENCE_S)
                try:
                    while True:
                        client.request("ECHO")
                except errors.ClientClosed:
                    return True

            asking = [threads.submit(ask) for _ in range(4)]
            barrier.wait(PATIENCE_S)
            client.close()
            assert all(future.result(PATIENCE_S) for future in asking)


def test_nothing_is_left_behind() -> None:
    with ScriptedServer(answering(silence)) as server, ThreadPoolExecutor(1) as threads:
        threads.submit(int).result(PATIENCE_S)
        before = native_threads()
        for _ in range(10):
            client = ClientLHC(server.address, timeout_s=PATIENCE_S)
            waiting = threads.submit(client.get)
            server.hear_json()
            client.close()
            with pytest.raises(errors.ClientClosed):
                waiting.result(PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while native_threads() > before + OWN_THREADS and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert native_threads() <= before + OWN_THREADS


def test_an_unclosed_client_warns(server: ServerLHC) -> None:
    client = ClientLHC(address_of(server), timeout_s=PATIENCE_S)
    client.get()
    holder = [client]
    del client
    with pytest.warns(ResourceWarning, match="was not closed"):
        holder.clear()
    gc.collect()


def test_a_refused_client_is_collected_without_a_word(kind: Kind) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="tcp"):
            kind("nowhere")
        gc.collect()
