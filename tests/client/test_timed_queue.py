"""Waiting for a time, by several at once, as clients do for names, connections and closing."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable

import pytest
from support.peers import PATIENCE_S

from laplace_server.client.timed_queue import TimedQueue

pytestmark = pytest.mark.transports()


def test_items_come_in_order() -> None:
    items: TimedQueue[int] = TimedQueue()
    for number in range(3):
        items.put(number)
    assert [items.get(PATIENCE_S) for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("timeout", [0.0, -1.0, 1e-9, 0.01])
def test_empty(timeout: float) -> None:
    items: TimedQueue[int] = TimedQueue()
    with pytest.raises(queue.Empty):
        items.get(timeout)
    items.put(1)
    assert items.get(timeout) == 1
    with pytest.raises(queue.Empty):
        items.get(timeout)


def test_each_of_those_who_wait_gets_one() -> None:
    items: TimedQueue[int] = TimedQueue()
    got: queue.Queue[int] = queue.Queue()
    threads = [threading.Thread(target=lambda: got.put(items.get(PATIENCE_S))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(8):
        items.put(number)
    assert sorted(got.get(timeout=PATIENCE_S) for _ in range(8)) == list(range(8))


def finish_all(works: list[Callable[[], object]]) -> None:
    """Each in a thread of its own; all of them end."""
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads)


def test_who_is_woken_for_nothing_waits_no_longer_than_its_time() -> None:
    """With Python's own SimpleQueue, one in a hundred waits for ever up to Python 3.12."""
    for number in range(500):
        items: TimedQueue[None] = TimedQueue()

        def wait(items: TimedQueue[None] = items) -> None:
            for _ in range(2):
                with contextlib.suppress(queue.Empty):
                    items.get(0.001)

        def put(items: TimedQueue[None] = items, pause_s: float = number % 40 * 5e-5) -> None:
            time.sleep(pause_s)
            items.put(None)

        finish_all([wait, wait, put])
