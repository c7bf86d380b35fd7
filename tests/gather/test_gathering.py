"""Gathering from servers, by both kinds of clients."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from support.both_clients import Kind, gather_blocking
from support.machine import within
from support.peers import PATIENCE_S
from support.ports import own_address
from support.waiting import wait_until

from laplace_server.client import AsyncClientLHC, ClientLHC
from laplace_server.errors import ClientClosed, RemoteError
from laplace_server.gather import Record, gather
from laplace_server.gather.source import Source

Begin = Callable[..., Any]


def next_of(gathered: Any, count: int) -> list[Record]:
    return [gathered.next(PATIENCE_S) for _ in range(count)]


def told(records: list[Record]) -> list[tuple[int, str, dict[str, str]]]:
    return [(each.key, "".join(each.updates), dict(each.missing)) for each in records]


def test_one_record_for_each_shot(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b", "c")
    gathered = gathering()
    image = np.arange(6.0).reshape(2, 3)
    devices.publish("c", 1, image=image)
    devices.publish("ba", 1)
    record = gathered.next(PATIENCE_S)
    assert (record.key, record.run, record.complete) == (1, 0, True)
    assert list(record.updates) == ["a", "b", "c"]
    assert np.array_equal(record.updates["c"].data["image"], image)
    assert record.updates["a"].seq == 1
    devices.publish("abc", 2, 3, 4)
    assert told(next_of(gathered, 3)) == [(n, "abc", {}) for n in (2, 3, 4)]
    stats = gathered.stats()["a"]
    assert (stats.received, stats.gathered, stats.late, stats.lost) == (4, 4, 0, 0)
    assert stats.trouble is None


def test_iterating_ends_when_it_is_closed(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b")
    gathered = gathering()
    devices.publish("ab", *range(1, 101))
    keys = []
    for record in gathered:
        keys.append(record.key)
        if record.key == 50:
            keys.append(gathered.next(PATIENCE_S).key)
        if record.key == 100:
            gathered.close()
    assert keys == list(range(1, 101))
    assert gathered.closed
    assert list(gathered) == []
    for ask in (gathered.next, gathered.take):
        with pytest.raises(ClientClosed, match="is closed"):
            ask(0)
    gathered.close()
    wait_until(lambda: devices.servers["a"].stats().subscribers == (), "it has left")


def test_take_has_all_that_is_there(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b")
    gathered = gathering()
    devices.publish("ab", *range(1, 2001))
    records: list[Record] = []
    while len(records) < 2000:
        taken = gathered.take(PATIENCE_S)
        assert taken
        records += taken
    assert told(records) == [(n, "ab", {}) for n in range(1, 2001)]
    with pytest.raises(TimeoutError, match="no record of 'a', 'b' in time"):
        gathered.take(0.01)


def test_time_outs(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b")
    gathered = gathering()
    devices.publish("a", 1)
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        gathered.next(0.05)
    assert time.monotonic() - begun >= 0.05
    with pytest.raises(TypeError, match="'timeout' must be"):
        gathered.next("soon")
    with pytest.raises(ValueError, match="'timeout' must be"):
        gathered.next(10**400)
    devices.publish("b", 1)
    assert gathered.next(PATIENCE_S).complete


def test_who_has_not_come(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b")
    gathered = gathering(wait_s=0.2)
    begun = time.monotonic()
    devices.publish("a", 1)
    assert told(next_of(gathered, 1)) == [(1, "a", {"b": "not yet"})]
    assert time.monotonic() - begun >= 0.2
    devices.publish("b", 1, 2)
    devices.publish("a", 2)
    assert told(next_of(gathered, 1)) == [(2, "ab", {})]
    wait_until(lambda: gathered.stats()["b"].late == 1, "it is known to be late")


def test_who_has_none(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b")
    gathered = gathering()
    devices.publish("a", *range(1, 11))
    devices.publish("b", 1, 4, 10)
    none = {"b": "none"}
    wanted = [(n, "ab", {}) if n in (1, 4, 10) else (n, "a", none) for n in range(1, 11)]
    assert told(next_of(gathered, 10)) == wanted


def test_who_has_lost_it(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b")
    devices.servers["b"].declare_stream("s", history_count=2)
    devices.publish("b", 1, 2, 3, 4, 5)
    devices.publish("a", 1, 2, 3, 4, 5)
    gathered = gathering(start={"a": "oldest", "b": 1})
    wanted = [(n, "a", {"b": "lost"}) for n in (1, 2, 3)]
    assert told(next_of(gathered, 5)) == [*wanted, (4, "ab", {}), (5, "ab", {})]
    assert gathered.stats()["b"].lost == 3


def test_who_is_gone_and_comes_back(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b")
    gathered = gathering(wait_s=0.2)
    devices.publish("ab", 1)
    assert told(next_of(gathered, 1)) == [(1, "ab", {})]
    devices.stop("b")
    wait_until(lambda: gathered.stats()["b"].trouble is not None, "it is known to be gone")
    devices.publish("a", 2)
    assert told(next_of(gathered, 1)) == [(2, "a", {"b": "gone"})]
    with pytest.raises(TimeoutError, match="in time: b: "):
        gathered.next(0.01)
    devices.restart("b")
    wait_until(lambda: gathered.stats()["b"].trouble is None, "it is followed again")
    devices.publish("ab", 3)
    assert told(next_of(gathered, 1)) == [(3, "ab", {})]
    assert {each.run for each in next_of(gathered, 0)} <= {0}


def test_who_goes_while_nothing_comes_is_waited_for_no_more(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b")
    gathered = gathering(wait_s=1.0)
    devices.stop("b")
    gatherer = gathered._gatherer
    source = gatherer._assembly.sources["b"]
    wait_until(lambda: source.gone_at + 1.0 <= gatherer._clock._now, "its time is over")
    devices.publish("a", 1)
    assert told(next_of(gathered, 1)) == [(1, "a", {"b": "gone"})]
    assert gatherer._assembly._open == {}


def test_all_begin_anew(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b")
    gathered = gathering(wait_s=5.0)
    devices.publish("ab", 41, 42)
    assert told(next_of(gathered, 2)) == [(41, "ab", {}), (42, "ab", {})]
    devices.restart("a")
    devices.restart("b")
    for name in "ab":
        server = devices.servers[name]
        wait_until(lambda server=server: len(server.stats().subscribers) > 0, "it is followed")
    devices.publish("ab", 1, 2, 3)
    records = next_of(gathered, 3)
    assert [(each.key, each.run, each.complete) for each in records] == [
        (n, 1, True) for n in (1, 2, 3)
    ]


def test_what_is_no_key_and_what_is_repeated(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b")
    gathered = gathering()
    devices.publish("a", None, 1, 1, "2", True, 2.0)
    devices.publish("b", 1, 2)
    assert told(next_of(gathered, 2)) == [(1, "ab", {}), (2, "ab", {})]
    stats = gathered.stats()["a"]
    assert (stats.received, stats.gathered) == (6, 2)
    assert (stats.without_key, stats.repeated, stats.late) == (3, 1, 0)


def test_stats_add_up_whatever_comes_meanwhile(devices: Any, gathering: Begin) -> None:
    class Coming(Source):
        @property
        def late(self) -> int:  # type: ignore[override]
            self.gathered += 1
            self.repeated += 1
            return 0

    devices.add("a")
    gathered = gathering()
    gathered._gatherer._assembly.sources["a"].__class__ = Coming
    received, *counts = gathered.stats()["a"][:6]
    assert received == sum(counts)
    assert counts == [0, 0, 0, 1, 0]


def test_a_key_for_each_source(devices: Any) -> None:
    devices.add("a", "b")
    keys = {"a": "shot", "b": "frame"}
    gathered = gather_blocking(devices.sources, keys, wait_s=PATIENCE_S)
    try:
        devices.publish("a", 7)
        devices.servers["b"].publish("s", {"frame": 7, "shot": 1})
        assert told(next_of(gathered, 1)) == [(7, "ab", {})]
    finally:
        gathered.close()


def test_a_history_of_one_is_waited_for_by_the_other(devices: Any, gathering: Begin) -> None:
    """What waits at the servers is not late, however long it takes to take it."""
    devices.add("a", "b")
    pad = "p" * 200
    devices.publish("a", *range(1, 5001))
    devices.publish("b", *range(1, 5001), pad=pad)
    gathered = gathering(start="oldest", wait_s=within(0.5), max_held_bytes=100_000)
    assert told(next_of(gathered, 5000)) == [(n, "ab", {}) for n in range(1, 5001)]


def test_memory_is_bounded(devices: Any, gathering: Begin) -> None:
    """Who does not take holds up the sources: what they publish waits at their servers."""
    devices.add("a", "b")
    gathered = gathering(max_held_bytes=1_000_000)
    image = np.zeros(100_000, "u1")
    for n in range(1, 301):
        devices.publish("a", n, image=image)
        devices.publish("b", n)
    wait_until(lambda: gathered.stats()["a"].received >= 9, "all is taken that has room")
    for n in range(1, 301):
        assert gathered.stats()["a"].received - n <= 12
        assert told(next_of(gathered, 1)) == [(n, "ab", {})]


def test_a_source_that_is_not_there_yet(devices: Any, gathering: Begin, kind: Kind) -> None:
    devices.add("a")
    with kind(own_address(), timeout_s=0.1) as absent:
        devices.sources["b"] = (absent, "s")
        gathered = gathering(wait_s=0.1)
        assert gathered.stats()["b"].trouble == "nobody listens there"
        devices.publish("a", 1, 2)
        wanted = [(n, "a", {"b": "gone"}) for n in (1, 2)]
        assert told(next_of(gathered, 2)) == wanted


def test_what_cannot_begin(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b")
    with pytest.raises(RemoteError, match="'start' must be"):
        gathering(start={"a": "latest", "b": 99})
    wait_until(lambda: devices.servers["a"].stats().subscribers == (), "a is followed no more")
    client, _ = devices.sources["b"]
    client.close()
    with pytest.raises(ClientClosed, match="is closed"):
        gathering()


def test_closing_ends_a_thread_that_waits(devices: Any, gathering: Begin) -> None:
    devices.add("a")
    gathered = gathering()
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(gathered.next) for _ in range(3)]
        begun = time.monotonic()
        gathered.close()
        for each in waiting:
            with pytest.raises(ClientClosed):
                each.result(PATIENCE_S)
        assert time.monotonic() - begun < within(1)


def test_threads_share_it(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b")
    gathered = gathering()
    keys: list[int] = []
    lock = threading.Lock()

    def take() -> None:
        for record in gathered:
            with lock:
                keys.append(record.key)

    with ThreadPoolExecutor(3) as threads:
        ends = [threads.submit(take) for _ in range(3)]
        devices.publish("ab", *range(1, 501))
        wait_until(lambda: len(keys) == 500, "all are taken")
        gathered.close()
        for each in ends:
            each.result(PATIENCE_S)
    assert sorted(keys) == list(range(1, 501))


def test_closing_the_clients_leaves_it_alone(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b")
    gathered = gathering()
    for client, _ in devices.sources.values():
        client.close()
    devices.publish("ab", 1)
    assert gathered.next(PATIENCE_S).complete


def test_it_is_not_copied(devices: Any, gathering: Begin) -> None:
    devices.add("a", "b")
    gathered = gathering()
    assert repr(gathered).endswith("Gathering of 'a', 'b'>")
    with pytest.raises(TypeError, match="cannot be copied"):
        copy.copy(getattr(gathered, "made", gathered))


# ---- arguments


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"sources": {}}, ValueError, "'sources' must name a source"),
        ({"sources": []}, TypeError, "'sources' must be a mapping"),
        ({"sources": {"a": "s"}}, TypeError, r"the source 'a' must be \(client, stream\)"),
        ({"sources": {"a": ("tcp://127.0.0.1:1", "s")}}, TypeError, "the source 'a' must be"),
        ({"sources": {1: ("x", "s")}}, TypeError, "the name of a source must be str"),
        ({"stream": ""}, ValueError, "the stream of 'a' must not be empty"),
        ({"stream": 5}, TypeError, "the stream of 'a' must be str"),
        ({"key": ""}, ValueError, "the key of 'a' must not be empty"),
        ({"key": None}, TypeError, "the key of 'a' must be str"),
        ({"key": {"b": "shot"}}, ValueError, "'key' must be one for all, or one for each of 'a'"),
        ({"start": "first"}, ValueError, "'start' must be"),
        ({"start": {}}, ValueError, "'start' must be one for all"),
        ({"wait_s": -1}, ValueError, "'wait_s' must be 0 or more"),
        ({"wait_s": float("inf")}, ValueError, "'wait_s' must be 0 or more"),
        ({"wait_s": float("nan")}, ValueError, "'wait_s' must be 0 or more"),
        ({"wait_s": 10**309}, ValueError, "'wait_s' must be 0 or more"),
        ({"wait_s": "1"}, TypeError, "'wait_s' must be a number"),
        ({"max_held_bytes": 0}, ValueError, "'max_held_bytes' must be 1 or more|from 1"),
        ({"max_held_bytes": 1e6}, TypeError, "'max_held_bytes' must be int"),
    ],
    ids=str,
)
def test_wrong_arguments(change: dict[str, Any], error: type[Exception], text: str) -> None:
    with ClientLHC("tcp://127.0.0.1:1") as client:
        given = {"key": "shot", **change}
        stream = given.pop("stream", "s")
        sources = given.pop("sources", {"a": (client, stream)})
        with pytest.raises(error, match=text):
            gather(sources, **given)


def test_clients_of_both_kinds() -> None:
    with ClientLHC("tcp://127.0.0.1:1") as client:
        other = AsyncClientLHC("tcp://127.0.0.1:1")
        sources: Any = {"a": (client, "s"), "b": (other, "s")}
        with pytest.raises(TypeError, match="all be ClientLHC, or all AsyncClientLHC"):
            gather(sources, "shot")
        other.__dict__["_pool"].close()
