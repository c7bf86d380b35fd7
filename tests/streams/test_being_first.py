"""Who follows a stream before it is there gets it from its first update on."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.both_clients import Kind
from support.machine import within
from support.peers import PATIENCE_S, address_of
from support.scripted_server import ScriptedServer
from support.serving import MakeServer
from support.stream_messages import answer, updates
from support.updates import publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.errors import RemoteError, RequestTimeout


def test_a_stream_not_declared_is_followed_from_its_first_update(
    kind: Kind, server: ServerLHC, caplog: pytest.LogCaptureFixture
) -> None:
    with kind(address_of(server)) as client, client.subscribe("late") as subscription:
        assert subscription.epoch == 0
        assert [server.publish("late", {"n": n}) for n in (1, 2, 3)] == [1, 2, 3]
        assert [subscription.next(PATIENCE_S).seq for _ in range(3)] == [1, 2, 3]
        assert subscription.lost == 0
        told = [each.getMessage() for each in caplog.records if each.name == "laplace.client"]
    (text,) = told  # once
    assert "No such stream: 'late'. There are: s." in text


def test_one_that_is_declared_is_followed_from_the_next_update(
    kind: Kind, server: ServerLHC
) -> None:
    publish(server, 1, 3)
    with kind(address_of(server)) as client, client.subscribe("s") as subscription:
        assert server.publish("s", {}) == 4
        assert subscription.next(PATIENCE_S).seq == 4


def test_a_server_that_comes_late(kind: Kind, make_server: MakeServer) -> None:
    """What it publishes before anybody could follow comes, too."""
    first = make_server()
    address = address_of(first)
    first.stop()
    with kind(address, timeout_s=0.1) as client, client.subscribe("s") as subscription:
        assert subscription.epoch == 0
        with pytest.raises(TimeoutError):
            subscription.next(0.1)
        server = make_server(address=address, start=False)
        server.declare_stream("s")
        publish(server, 1, 3)
        server.start()
        assert [subscription.next(PATIENCE_S).seq for _ in range(3)] == [1, 2, 3]
        assert server.publish("s", {}) == 4
        assert subscription.next(PATIENCE_S).seq == 4
        assert subscription.lost == 0


def test_what_the_first_updates_history_has_lost_is_told(kind: Kind, server: ServerLHC) -> None:
    with kind(address_of(server)) as client, client.subscribe("late") as subscription:
        server.declare_stream("late", history_count=2)
        for n in range(1, 6):
            server.publish("late", {"n": n})
        seen = [subscription.next(PATIENCE_S)]
        while seen[-1].seq < 5:
            seen.append(subscription.next(PATIENCE_S))
        assert sum(1 + each.lost_before for each in seen) == 5


def test_in_time_or_not_at_all(kind: Kind, server: ServerLHC) -> None:
    """With a time-out of its own, being first is a failure."""
    with kind(address_of(server), timeout_s=PATIENCE_S) as client:
        with pytest.raises(RequestTimeout, match=r"No such stream: 'x'\. There are: s\.$"):
            client.subscribe("x", timeout_s=0.2)
        with ThreadPoolExecutor(1) as threads:
            begun = threads.submit(client.subscribe, "late", timeout_s=PATIENCE_S)
            server.publish("late", {"n": 1})
            with begun.result(PATIENCE_S) as subscription:
                assert subscription.epoch == server.epoch


def test_it_returns_within_the_clients_time_out(kind: Kind, make_server: MakeServer) -> None:
    gone = make_server()
    gone.stop()
    with kind(address_of(gone), timeout_s=0.3) as client:
        begun = time.monotonic()
        with client.subscribe("s") as subscription:
            assert time.monotonic() - begun < within(1.0)
            assert (subscription.epoch, subscription.lag, subscription.lost) == (0, 0, 0)
            assert not subscription.server_ended
        with pytest.raises(RequestTimeout, match="nobody listens there"):
            client.subscribe("s", timeout_s=0.1)


def test_what_is_refused_raises_though_it_is_late(kind: Kind, make_server: MakeServer) -> None:
    first = make_server()
    address = address_of(first)
    first.stop()
    with kind(address, timeout_s=0.1) as client, client.subscribe("s", start=9) as subscription:
        server = make_server(address=address, start=False)
        server.declare_stream("s")
        server.start()
        with pytest.raises(RemoteError, match="'start' must be"):
            subscription.next(PATIENCE_S)
        # It is asked for again: there may be as many by then.
        publish(server, 1, 9)
        assert subscription.next(PATIENCE_S).seq == 9


def test_servers_that_do_not_tell_an_age(kind: Kind) -> None:
    """Then a stream counts as old."""

    def granting(body: bytes) -> list[list[bytes]]:
        return [answer(first=1, last=5, next=6)] if body[:1] == b"{" else []

    with ScriptedServer(granting) as old:
        with kind(old.address, timeout_s=PATIENCE_S) as client:
            with client.subscribe("s") as subscription:
                old.send(updates(6, 6))
                assert subscription.next(PATIENCE_S).seq == 6


def test_while_it_waits_it_can_be_closed(kind: Kind, server: ServerLHC) -> None:
    with kind(address_of(server)) as client, ThreadPoolExecutor(1) as threads:
        subscription = client.subscribe("late")
        waiting: Any = threads.submit(list, subscription)
        wait_until(waiting.running, "it waits")
        subscription.close()
        assert waiting.result(PATIENCE_S) == []


def test_it_is_quiet_about_one_that_comes(
    kind: Kind, server: ServerLHC, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "laplace.client")
    with kind(address_of(server)) as client, client.subscribe("s") as subscription:
        publish(server, 1, 1)
        assert subscription.next(PATIENCE_S).seq == 1
    assert caplog.records == []
