"""Requests that are not answered, and servers that come again: nothing is sent twice."""

from __future__ import annotations

import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from support.both_clients import Kind
from support.peers import PATIENCE_S, address_of
from support.ports import own_address
from support.scripted_server import ScriptedServer, answering, echo, reply_to, silence
from support.serving import serving

from laplace_server import errors

# -- time-outs


def test_timeout_is_kept_and_told(kind: Kind) -> None:
    address = own_address()
    with kind(address, timeout_s=0.05) as client:
        start = time.monotonic()
        with pytest.raises(errors.RequestTimeout) as caught:
            client.get()
        assert 0.05 <= time.monotonic() - start < PATIENCE_S
        assert (caught.value.cmd, caught.value.address) == ("GET", address)
        assert caught.value.timeout_s == 0.05
        assert caught.value.reason == "nobody listens there"
        assert str(caught.value) == (
            f"No answer from {address} to GET within 0.05 s: nobody listens there."
        )
        with pytest.raises(TimeoutError):
            client.ping(timeout_s=0.01)


def test_who_listens_and_does_not_answer_is_not_called_nobody(talking: Any) -> None:
    with talking(silence) as (server, client):
        for _ in range(2):
            with pytest.raises(errors.RequestTimeout) as caught:
                client.get(timeout_s=0.1)
            assert caught.value.reason is None
            assert str(caught.value) == f"No answer from {server.address} to GET within 0.1 s."


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_timeout_is_kept_when_signals_keep_coming(kind: Kind) -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        with kind(own_address()) as client:
            start = time.monotonic()
            with pytest.raises(errors.RequestTimeout):
                client.get(timeout_s=0.2)
            assert 0.2 <= time.monotonic() - start < PATIENCE_S
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_late_answer_is_not_taken_for_another(talking: Any) -> None:
    def answer(message: dict[str, Any]) -> list[Any]:
        reply = reply_to(message, message["payload"])
        return [] if message["payload"]["n"] == 1 else [reply]

    with talking(answer) as (server, client):
        client.request("ECHO", {"n": 0})
        with pytest.raises(errors.RequestTimeout):
            client.request("ECHO", {"n": 1}, timeout_s=0.2)
        late = [server.hear_json() for _ in range(2)][1]
        server.send([b"", json.dumps(reply_to(late, {"n": 1})).encode()], to=1)
        for n in range(2, 20):
            assert client.request("ECHO", {"n": n}) == {"n": n}


def test_an_answer_sent_twice_is_taken_once(talking: Any) -> None:
    with talking(lambda message: echo(message) * 3) as (_, client):
        for n in range(20):
            assert client.request("ECHO", {"n": n}) == {"n": n}


def test_nothing_is_sent_twice(talking: Any) -> None:
    quiet = threading.Event()
    with talking(lambda m: silence(m) if quiet.is_set() else echo(m)) as (server, client):
        client.request("FIRST")  # so that no time is needed to connect
        quiet.set()
        with pytest.raises(errors.RequestTimeout):
            client.set([1], timeout_s=0.3)
        quiet.clear()
        client.request("LAST")
        seen = [server.hear_json()["cmd"] for _ in range(3)]
        assert seen == ["FIRST", "SET", "LAST"]
        assert server.bodies.empty()


def test_a_request_that_timed_out_never_arrives_later(kind: Kind) -> None:
    address = own_address()
    with kind(address) as client:
        with pytest.raises(errors.RequestTimeout):
            client.set([1], timeout_s=0.05)
        with ScriptedServer(answering(echo), address) as server:
            client.request("LATER", timeout_s=PATIENCE_S)
            assert server.hear_json()["cmd"] == "LATER"
            assert server.bodies.empty()


# -- restarts


def test_restart_on_the_same_port(kind: Kind) -> None:
    with serving(data={"x": 1.5}) as first:
        address = address_of(first)
        with ThreadPoolExecutor(4) as threads, kind(address, timeout_s=PATIENCE_S) as client:
            # Several idle connections, all of which have to find the new server.
            assert list(threads.map(lambda _: client.get(), range(8))) == [{"x": 1.5}] * 8
            first.stop()

            def get_again() -> Any:
                # A request written to the old connection before its end was seen is lost.
                with suppress(errors.RequestTimeout):
                    return client.get(timeout_s=1.0)
                return client.get()

            with serving(address, data={"x": 2.5}):
                for future in [threads.submit(get_again) for _ in range(16)]:
                    assert future.result(2 * PATIENCE_S) == {"x": 2.5}


def test_server_that_dies_with_a_request_under_way(kind: Kind) -> None:
    answer = answering(lambda m: silence(m) if m["cmd"] == "SET" else echo(m))
    with ScriptedServer(answer) as first:
        address = first.address
        with ThreadPoolExecutor(1) as threads, kind(address) as client:
            client.request("FIRST", timeout_s=PATIENCE_S)
            waiting = threads.submit(client.set, [1], timeout_s=1.0)
            while first.hear_json()["cmd"] != "SET":
                pass
            first.__exit__()
            with ScriptedServer(answering(echo), address) as second:
                with pytest.raises(errors.RequestTimeout):
                    waiting.result(PATIENCE_S)
                assert client.request("ECHO", {"n": 2}, timeout_s=PATIENCE_S) == {"n": 2}
                # Nobody sent the SET again.
                assert second.hear_json()["cmd"] == "ECHO"
                assert second.bodies.empty()
