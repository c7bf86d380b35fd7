"""All updates that are there, at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from support.both_clients import Kind
from support.isolated import run_script
from support.machine import within
from support.peers import PATIENCE_S, address_of
from support.updates import publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.errors import ClientClosed
from laplace_server.stream import Subscription, Update


@pytest.fixture
def subscription(client: Any) -> Any:
    with client.subscribe("s", start="oldest") as subscription:
        yield subscription


def all_sent(server: ServerLHC) -> None:
    wait_until(lambda: server.stats().subscribers[0].lag == 0, "all is sent")


def test_all_that_are_there_come_in_order(server: ServerLHC, subscription: Any) -> None:
    publish(server, 1, 10)
    all_sent(server)
    assert [update.seq for update in subscription.take(PATIENCE_S)] == list(range(1, 11))
    assert (subscription.lag, subscription.lost) == (0, 0)
    with pytest.raises(TimeoutError, match="no update of 's' in time"):
        subscription.take(0)


def test_one_is_waited_for(server: ServerLHC, subscription: Any) -> None:
    with ThreadPoolExecutor(1) as threads:
        taking = threads.submit(subscription.take)
        publish(server, 1, 1)
        assert [update.data for update in taking.result(PATIENCE_S)] == [{"n": 1}]
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        subscription.take(timeout=0.05)
    assert time.monotonic() - begun >= 0.05


def test_ways_to_take_can_be_mixed(server: ServerLHC, subscription: Any) -> None:
    got: list[Update] = []
    ways: list[Callable[[], None]] = [
        lambda: got.append(subscription.next(PATIENCE_S)),
        lambda: got.extend(subscription.take(PATIENCE_S)),
        lambda: got.append(next(iter(subscription))),
    ]
    published = 0
    for turn in range(60):
        publish(server, published + 1, published + 20)
        published += 20
        ways[turn % 3]()
    while len(got) < published:
        ways[1]()
    assert [update.seq for update in got] == list(range(1, published + 1))
    assert subscription.lost == 0


def test_it_ends_also_where_more_comes_all_the_time(server: ServerLHC, subscription: Any) -> None:
    """What is taken at once is no more than was allowed to be on its way."""
    published, most = 0, 0
    while published < 20_000:
        publish(server, published + 1, published + 200)
        published += 200
        most = max(most, len(subscription.take(PATIENCE_S)))
    assert 1 <= most < 20_000


def test_memory_is_bounded(server: ServerLHC, client: Any) -> None:
    image = np.zeros(100_000, "u1")
    for _ in range(100):
        server.publish("s", {"image": image})
    with client.subscribe("s", start="oldest", credit_bytes=350_000) as subscription:
        position = 1
        while position <= 100:
            updates = subscription.take(PATIENCE_S)
            assert len(updates) <= 5
            assert [update.seq for update in updates] == [position + n for n in range(len(updates))]
            position += len(updates)


def test_with_latest_only_it_is_the_newest(server: ServerLHC, client: Any) -> None:
    publish(server, 1, 100)
    with client.subscribe("s", start="oldest", latest_only=True) as subscription:
        (update,) = subscription.take(PATIENCE_S)
        assert (update.seq, update.lost_before) == (100, 99)


def test_closing_ends_a_thread_that_takes(client: Any) -> None:
    subscription = client.subscribe("s")
    with ThreadPoolExecutor(1) as threads:
        taking = threads.submit(subscription.take)
        begun = time.monotonic()
        subscription.close()
        with pytest.raises(ClientClosed):
            taking.result(PATIENCE_S)
        assert time.monotonic() - begun < within(1)
    with pytest.raises(ClientClosed):
        subscription.take(0)


NO_NUMPY = """
import sys
sys.modules["numpy"] = None
from laplace_server.client import ClientLHC
from laplace_server.errors import LaplaceError
got, problems = [], 0
with ClientLHC(sys.argv[1], timeout_s=20) as client, client.subscribe("s", start=1) as followed:
    while not got or got[-1].seq < 3:
        try:
            got += followed.take(20)
        except LaplaceError:
            problems += 1
print([(update.seq, update.lost_before) for update in got], problems)
"""


def test_an_update_that_cannot_be_read_costs_no_other(server: ServerLHC) -> None:
    for data in ({"n": 1}, {"a": np.zeros(3)}, {"n": 3}):
        server.publish("s", data)
    assert run_script(NO_NUMPY, address_of(server)) == "[(1, 0), (3, 1)] 1\n"


# ---- what a take had when it was interrupted


@pytest.fixture
def interrupted(server: ServerLHC, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A subscription of a thread, whose ``take`` was interrupted when it had 10 of 20."""
    with ClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
        with client.subscribe("s") as subscription:
            publish(server, 1, 10)
            all_sent(server)
            ordinary = subscription._work

            def work(is_done: Any, deadline: float) -> bool:
                if subscription._protocol.ledger.position > 10:
                    raise KeyboardInterrupt
                return ordinary(is_done, deadline)

            with monkeypatch.context() as patch:
                patch.setattr(subscription, "_work", work)
                with pytest.raises(KeyboardInterrupt):
                    subscription.take(PATIENCE_S)
            publish(server, 11, 20)
            yield subscription


def test_the_next_take_begins_with_it(interrupted: Subscription) -> None:
    assert interrupted.lag >= 10
    got: list[Update] = []
    while len(got) < 20:
        got += interrupted.take(PATIENCE_S)
    assert [update.seq for update in got] == list(range(1, 21))
    assert interrupted.lag == 0


@pytest.mark.parametrize("first", range(4))
def test_all_others_begin_with_it(interrupted: Subscription, first: int) -> None:
    one, other = iter(interrupted), iter(interrupted)
    ways: list[Callable[[], Update]] = [
        lambda: interrupted.next(PATIENCE_S),
        lambda: next(one),
        lambda: next(interrupted),
        lambda: next(other),
    ]
    got = [ways[(first + n) % 4]().seq for n in range(20)]
    assert got == list(range(1, 21))


def test_it_can_be_interrupted_again(
    interrupted: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = [interrupted.next(PATIENCE_S).seq, next(iter(interrupted)).seq]

    def interrupt(*_: Any) -> bool:
        raise KeyboardInterrupt

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(interrupted, "_work", interrupt)
            with pytest.raises(KeyboardInterrupt):
                interrupted.take(PATIENCE_S)
    for update in interrupted:
        got.append(update.seq)
        if update.seq == 20:
            break
    assert got == list(range(1, 21))


def test_an_iteration_that_has_begun_goes_on_after_a_take(interrupted: Subscription) -> None:
    iterator = iter(interrupted)
    got = [next(iterator).seq]
    while got[-1] < 20:
        got += [update.seq for update in interrupted.take(PATIENCE_S)]
    interrupted.close()
    got += [update.seq for update in iterator]
    assert got == list(range(1, 21))


def test_nobody_else_gets_what_a_take_has(interrupted: Subscription) -> None:
    """A handler, which is in the middle of one, is refused; and so is another thread."""
    refused: list[str] = []

    def try_all() -> None:
        for way in (interrupted.next, interrupted.take, lambda: next(interrupted)):
            with pytest.raises(RuntimeError, match="Another thread takes"):
                way()
            refused.append(threading.current_thread().name)

    ordinary = interrupted._work

    def work(is_done: Any, deadline: float) -> bool:
        if not refused:
            try_all()
            another = threading.Thread(target=try_all, name="another")
            another.start()
            another.join(PATIENCE_S)
        return ordinary(is_done, deadline)

    interrupted._work = work  # type: ignore[method-assign]
    got: list[int] = []
    while len(got) < 20:
        got += [update.seq for update in interrupted.take(PATIENCE_S)]
    assert got == list(range(1, 21))
    assert refused == ["MainThread"] * 3 + ["another"] * 3


def test_closing_takes_it_away(interrupted: Subscription) -> None:
    iterator = iter(interrupted)
    assert next(iterator).seq == 1
    interrupted.close()
    assert list(iterator) == []
    with pytest.raises(ClientClosed):
        interrupted.next(0)
    with pytest.raises(ClientClosed):
        interrupted.take(0)


# ---- copies


def test_a_copy_is_the_programs_own(server: ServerLHC, kind: Kind) -> None:
    deep: Any = [np.arange(3)]
    for _ in range(200):
        deep = [deep]
    data = {
        "a": np.arange(6, dtype="<i4").reshape(2, 3),
        "large": np.zeros((300, 200)),
        "none": np.zeros(0),
        "point": np.array(2.5),
        "in": [{"b": np.ones(4, bool)}, [1, None, "x", 1.5, 2**70]],
        "deep": deep,
    }
    server.publish("s", data)
    with kind(address_of(server), timeout_s=PATIENCE_S) as client:
        with client.subscribe("s", start="newest") as subscription:
            update = subscription.next(PATIENCE_S)
    own = update.copy()
    assert type(own) is Update
    assert own._replace(data=update.data) == update
    bottom = own.data["deep"]
    for _ in range(200):
        bottom = bottom[0]
    arrays = [own.data[key] for key in ("a", "large", "none", "point")]
    for array in [*arrays, own.data["in"][0]["b"], bottom[0]]:
        assert array.flags.writeable
        assert array.flags.owndata
    assert own.data["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert own.data["in"][1] == [1, None, "x", 1.5, 2**70]
    own.data["a"][0] = 7
    own.data["in"][1].append("more")
    own.data["point"][()] = 1.0
    assert update.data["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert len(update.data["in"][1]) == 5
    assert update.data["point"] == 2.5
    assert not update.data["large"].flags.writeable
