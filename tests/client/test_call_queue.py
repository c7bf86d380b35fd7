"""Calls carried out by a thread for all, for somebody who takes their news: without Qt."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.forked import Forked
from support.machine import WINDOWS
from support.peers import PATIENCE_S, address_of
from support.serving import MakeServer
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import AsyncClientLHC, loop_thread
from laplace_server.client.call_queue import CallQueue
from laplace_server.client.calls import Call, plain
from laplace_server.client.outbox import News, Outbox, Told
from laplace_server.errors import ClientClosed


class Receiver:
    """Has a queue, and takes its news when it rings."""

    def __init__(self, address: str) -> None:
        self.rings = threading.Semaphore(0)
        self.queue = CallQueue(address, lambda: AsyncClientLHC(address), self.rings.release)

    def begin(self, method: str) -> Call:
        call = Call(method, method.upper(), plain(method), PATIENCE_S)
        self.queue.begin(call)
        return call

    def next(self) -> Told:
        while (told := self.queue.take()) is None:
            assert self.rings.acquire(timeout=PATIENCE_S), "no news"
        return told


@pytest.fixture
def server(make_server: MakeServer) -> ServerLHC:
    return make_server(data={"x": 1})


@pytest.fixture
def receiver(server: ServerLHC) -> Iterator[Receiver]:
    receiver = Receiver(address_of(server))
    yield receiver
    receiver.queue.end()


def running() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if isinstance(each, loop_thread.LoopThread)]


def test_it_begins_and_ends(receiver: Receiver) -> None:
    assert running() == []
    calls = [receiver.begin("get") for _ in range(3)]
    told = [receiver.next() for _ in calls]
    assert told == [Told(call, News.ANSWERED, {"x": 1}) for call in calls]
    assert len(running()) == 1
    receiver.queue.end()
    receiver.queue.end()
    wait_until(lambda: not running(), "the thread has ended")
    assert isinstance(receiver.begin("get"), Call)
    late = receiver.next()
    assert late.news is News.FAILED
    assert isinstance(late.value, ClientClosed)


def test_a_thread_that_cannot_begin_fails_the_call(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left() -> Any:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(loop_thread, "_new_loop", none_left)
        receiver.begin("get")
        told = receiver.next()
    assert (told.news, str(told.value)) == (News.FAILED, "[Errno 24] Too many open files")
    with monkeypatch.context() as patch:
        patch.setattr(loop_thread.LoopThread, "start", lambda thread: none_left())
        receiver.begin("get")
        assert receiver.next().news is News.FAILED
    receiver.begin("get")
    assert receiver.next().value == {"x": 1}


@pytest.mark.skipif(WINDOWS, reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
def test_a_forked_child_has_a_thread_of_its_own(server: ServerLHC, receiver: Receiver) -> None:
    receiver.begin("get")
    assert receiver.next().value == {"x": 1}

    def work() -> None:
        receiver.begin("get")  # of the parent: nothing becomes of it
        receiver.queue.end()
        mine = Receiver(address_of(server))
        mine.begin("get")
        assert mine.next().value == {"x": 1}
        mine.queue.end()
        wait_until(lambda: not running(), "the child's thread has ended")

    with Forked(work):
        receiver.begin("get")
        assert receiver.next().value == {"x": 1}


def test_news_of_a_move_that_nobody_takes_do_not_pile_up() -> None:
    rings: list[None] = []
    outbox = Outbox(lambda: rings.append(None))
    first, second = (Call("move", "SET", plain("ping"), 1.0) for _ in range(2))
    for n in range(1000):
        outbox.put(Told(first, News.PROGRESS, n))
        outbox.put(Told(second, News.PROGRESS, -n))
    outbox.put(Told(first, News.ANSWERED, "there"))
    assert [outbox.take() for _ in range(4)] == [
        Told(first, News.PROGRESS, 999),
        Told(second, News.PROGRESS, -999),
        Told(first, News.ANSWERED, "there"),
        None,
    ]
    assert len(rings) == 1
    outbox.put(Told(second, News.PROGRESS, 5))
    outbox.put(Told(second, News.CANCELLED))
    assert len(rings) == 2
    assert [outbox.take(), outbox.take()] == [
        Told(second, News.PROGRESS, 5),
        Told(second, News.CANCELLED),
    ]
