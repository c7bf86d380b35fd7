"""How subscriptions are iterated over, shared by threads, closed and forgotten; their arrays."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from support.isolated import run_script
from support.machine import MACOS, within
from support.peers import PATIENCE_S, address_of
from support.updates import numbers, publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.client.subscription_protocol import SubscriptionProtocol
from laplace_server.errors import ClientClosed, RemoteError, RequestTimeout
from laplace_server.stream import Subscription, Update
from laplace_server.wire.extras import how_to_install

# ---- iterating


def test_leaving_a_loop_in_the_middle_loses_nothing(server: ServerLHC, client: ClientLHC) -> None:
    publish(server, 1, 3000)
    with client.subscribe("s", start=1) as subscription:
        seen: list[int] = []
        for update in subscription:
            seen.append(update.seq)
            if update.seq % 7 == 0:
                break
        one, other = iter(subscription), iter(subscription)
        ways: list[Callable[[], Update]] = [
            lambda: subscription.next(PATIENCE_S),
            lambda: next(subscription),
            lambda: next(one),
            lambda: next(other),
        ]
        for take in itertools.cycle(ways):
            taken = take()
            seen.append(taken.seq)
            assert subscription._protocol.ledger.following == taken.seq + 1
            if taken.seq == 3000:
                break
        assert seen == list(range(1, 3001))
        assert (subscription.lag, subscription.lost) == (0, 0)


def test_the_lag_is_exact_within_a_message(server: ServerLHC, client: ClientLHC) -> None:
    publish(server, 1, 100)
    with client.subscribe("s", start=1) as subscription:
        for update in subscription:
            assert subscription.lag == 100 - update.seq
            if update.seq == 100:
                break


# ---- closing


def test_closing_ends_a_thread_that_iterates(server: ServerLHC, client: ClientLHC) -> None:
    with ThreadPoolExecutor(1) as threads:
        subscription = client.subscribe("s")
        collected = threads.submit(lambda: [update.seq for update in subscription])
        publish(server, 1, 3)
        wait_until(lambda: subscription._protocol.ledger.following == 4, "it waits")
        begun = time.monotonic()
        subscription.close()
        assert collected.result(PATIENCE_S) == [1, 2, 3]
        assert time.monotonic() - begun < within(0.3)
        assert subscription.closed
        # The server is told: it need not find out by itself.
        wait_until(lambda: server.stats().subscribers == (), "it has left", within(0.5))


def test_closing_ends_a_thread_that_waits(client: ClientLHC) -> None:
    with ThreadPoolExecutor(1) as threads:
        subscription = client.subscribe("s")
        waiting = threads.submit(subscription.next)
        wait_until(lambda: subscription._takers.count(subscription), "it waits")
        with pytest.raises(RuntimeError, match="Another thread"):
            subscription.next(0)
        subscription.close()
        with pytest.raises(ClientClosed):
            waiting.result(PATIENCE_S)
    assert list(subscription) == []
    assert next(subscription, None) is None


def test_after_closing_the_rest_of_a_message_is_not_given(
    server: ServerLHC, client: ClientLHC
) -> None:
    publish(server, 1, 1000)
    subscription = client.subscribe("s", start=1)
    seen = []
    for update in subscription:
        seen.append(update.seq)
        if update.seq == 10:
            subscription.close()
    assert seen == list(range(1, 11))


def test_closing_races_with_everything(server: ServerLHC, client: ClientLHC) -> None:
    with ThreadPoolExecutor(3) as threads:
        for n in range(60):
            subscription = client.subscribe("s")
            iterating = threads.submit(lambda each=subscription: [u.seq for u in each])
            closing = [threads.submit(subscription.close) for _ in range(2)]
            server.publish("s", {"n": n})
            for each in (iterating, *closing):
                each.result(PATIENCE_S)
            assert subscription._connection is None


@pytest.fixture
def interrupted(client: ClientLHC, monkeypatch: pytest.MonkeyPatch) -> list[Subscription]:
    """One whose close() was interrupted, as by Ctrl-C."""

    def interrupt(self: SubscriptionProtocol) -> None:
        raise KeyboardInterrupt

    subscription = client.subscribe("s")
    with monkeypatch.context() as patch:
        patch.setattr(SubscriptionProtocol, "leave", interrupt)
        with pytest.raises(KeyboardInterrupt):
            subscription.close()
    assert subscription.closed
    return [subscription]


def test_closing_can_be_repeated_where_it_was_interrupted(
    server: ServerLHC, interrupted: list[Subscription]
) -> None:
    assert len(server.stats().subscribers) == 1
    interrupted[0].close()
    assert interrupted[0]._connection is None
    wait_until(lambda: server.stats().subscribers == (), "it has left")


def test_what_an_interrupted_close_has_left_ends_with_its_owner(
    server: ServerLHC, interrupted: list[Subscription]
) -> None:
    assert len(server.stats().subscribers) == 1
    interrupted.clear()
    wait_until(lambda: server.stats().subscribers == (), "it has gone")


@pytest.mark.skipif(sys.platform == "win32", reason="signals to this process")
def test_closing_in_a_signal_handler(client: ClientLHC) -> None:
    with ThreadPoolExecutor(1) as threads:
        subscription = client.subscribe("s")

        def interrupt() -> None:
            wait_until(lambda: subscription._takers.count(subscription), "it waits")
            os.kill(os.getpid(), signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, lambda *_: subscription.close())
        try:
            interrupting = threads.submit(interrupt)
            with pytest.raises(ClientClosed):
                subscription.next()
            interrupting.result(PATIENCE_S)
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert subscription._connection is None


def test_closing_while_nobody_is_there_is_quick(make_server: Any) -> None:
    server = make_server()
    server.declare_stream("s")
    with ClientLHC(address_of(server)) as client:
        subscription = client.subscribe("s")
        server.stop()
        begun = time.monotonic()
        subscription.close()
        assert time.monotonic() - begun < within(0.5)


def test_a_forgotten_subscription_warns(client: ClientLHC) -> None:
    holder = [client.subscribe("s")]
    with pytest.warns(ResourceWarning, match="was not closed"):
        holder.clear()
    gc.collect()


def test_a_refused_subscription_leaves_nothing(client: ClientLHC) -> None:
    for _ in range(10):
        with pytest.raises(RemoteError, match="'start' must be"):
            client.subscribe("s", start=99)
        with pytest.raises(RequestTimeout, match=r"No such stream: 'other'\. There are: s"):
            client.subscribe("other", timeout_s=0.05)
        for wrong in (0, 1 << 63):
            with pytest.raises(ValueError, match="'credit_bytes' must be from 1 to"):
                client.subscribe("s", credit_bytes=wrong)
        for none in (True, 1.5, "1"):
            with pytest.raises(TypeError, match="'credit_bytes' must be int, not"):
                client.subscribe("s", credit_bytes=none)  # type: ignore[arg-type]
    gc.collect()


FORK = """
import os, sys, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from laplace_server.client import ClientLHC
from laplace_server.errors import ClientClosed
with ClientLHC(sys.argv[1], timeout_s=20) as client, client.subscribe("s", start=1) as followed:
    assert followed.next(20).seq == 1
    child = os.fork()
    if not child:
        status = 1
        try:
            for take in (lambda: followed.next(1), lambda: next(followed), lambda: list(followed)):
                try:
                    take()
                except ClientClosed as error:
                    assert "before this process was forked" in str(error), error
                else:
                    raise AssertionError("it goes on")
            followed.close()
            with client.subscribe("s", start=1) as own:
                assert own.next(20).seq == 1
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    client.request("PUBLISH")
    assert [followed.next(20).seq for _ in range(3)] == [2, 3, 4]
    print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child")
def test_a_forked_child_leaves_the_parents_subscription_alone(server: ServerLHC) -> None:
    server.register_handler("PUBLISH", lambda s, message, target: {"n": s.publish("s", {})})
    publish(server, 1, 3)  # of which the child must not take any, though they are there
    assert run_script(FORK, address_of(server)) == "0\n"


# ---- arrays


NO_NUMPY = """
import sys
sys.modules["numpy"] = None
from laplace_server.client import ClientLHC
from laplace_server.errors import LaplaceError
with ClientLHC(sys.argv[1], timeout_s=20) as client, client.subscribe("s", start=1) as followed:
    try:
        followed.next(20)
    except LaplaceError as error:
        print(error)
    update = followed.next(20)
    print(update.seq, update.data, update.lost_before)
    try:
        client.get(arrays=True)
    except LaplaceError as error:
        print(error)
"""


def test_without_numpy_arrays_raise_a_clear_error(server: ServerLHC) -> None:
    server.publish("s", {"a": np.zeros(3)})
    server.publish("s", {"n": 2})
    problem = f"Arrays take NumPy, which is not installed. {how_to_install('arrays')}"
    printed = run_script(NO_NUMPY, address_of(server)).splitlines()
    assert printed == [problem, "2 {'n': 2} 1", problem]


IMPORT_UNDER_WAY = """
import asyncio, sys, threading, time
from laplace_server.client import AsyncClientLHC, ClientLHC

ready, begun = threading.Event(), threading.Event()

class SlowDisk:
    def find_spec(self, name, path=None, target=None):
        if name.endswith("multiarray"):
            begun.set()
            time.sleep(0.5)

def wait():
    ready.set()
    assert begun.wait(20)

def read():
    with ClientLHC(sys.argv[1], timeout_s=20) as client:
        wait()
        if sys.argv[2] == "get":
            return client.get(arrays=True)["a"].shape
        with client.subscribe("s", start=1) as updates:
            return updates.next(20).data["a"].shape, updates.lost

async def read_async():
    async with AsyncClientLHC(sys.argv[1], timeout_s=20) as client:
        wait()  # the loop too, which reads updates by itself
        if sys.argv[2] == "get":
            return (await client.get(arrays=True))["a"].shape
        async with client.subscribe("s", start=1) as updates:
            return (await updates.next(20)).data["a"].shape, updates.lost

found = []
ways = {"thread": read, "asyncio": lambda: asyncio.run(read_async())}
reading = threading.Thread(target=lambda: found.append(ways[sys.argv[3]]()))
reading.start()
ready.wait(20)
sys.meta_path.insert(0, SlowDisk())
import numpy
reading.join()
print(*found)
"""


@pytest.mark.parametrize("how", ["thread", "asyncio"])
@pytest.mark.parametrize(("what", "found"), [("get", "(3,)"), ("stream", "((3,), 0)")])
def test_an_import_of_numpy_under_way_is_waited_for(
    how: str, what: str, found: str, make_server: Any
) -> None:
    server = make_server(data={"a": np.zeros(3)})
    server.publish("s", {"a": np.zeros(3)})
    assert run_script(IMPORT_UNDER_WAY, address_of(server), what, how) == f"{found}\n"


@pytest.mark.parametrize("dtype", ["u1", "<f8", ">c16"])
@pytest.mark.parametrize("count", [0, 3, 5000])
def test_arrays_cannot_be_made_writable(
    server: ServerLHC, client: ClientLHC, dtype: str, count: int
) -> None:
    with client.subscribe("s") as subscription:
        server.publish("s", {"a": np.ones(count, dtype)})
        found = subscription.next(PATIENCE_S).data["a"]
    assert np.array_equal(found, np.ones(count, dtype))
    assert found.flags.aligned
    assert not found.flags.writeable
    if found.base is not None:
        with pytest.raises(ValueError, match="WRITEABLE"):
            found.flags.writeable = True


def test_integers_at_the_edge_of_64_bits(server: ServerLHC, client: ClientLHC) -> None:
    values = [10**18, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**19, -(10**18), 10**40]
    with client.subscribe("s") as subscription:
        for value in values:
            server.publish("s", {"x": value, "y": [value, {"z": -value}], "f": 1e-5 / 7})
        found = [subscription.next(PATIENCE_S).data for _ in values]
    wanted = [{"x": value, "y": [value, {"z": -value}], "f": 1e-5 / 7} for value in values]
    assert repr(found) == repr(wanted)


def test_threads_may_look_while_one_takes(server: ServerLHC, client: ClientLHC) -> None:
    publish(server, 1, 2000)
    done = threading.Event()
    with client.subscribe("s", start=1) as subscription, ThreadPoolExecutor(1) as threads:

        def look() -> int:
            lags = [subscription.lag]
            while not done.is_set():
                lags.append(subscription.lag)
                assert (subscription.lost, subscription.ended) == (0, ())
            return max(lags)

        looking = threads.submit(look)
        try:
            assert numbers(subscription, 2000) == list(range(1, 2001))
        finally:
            done.set()
        assert looking.result(PATIENCE_S) <= 2000
