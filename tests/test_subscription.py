"""Subscriptions over breaks, restarts and ends: nothing is lost without a word."""

from __future__ import annotations

import gc
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from isolated import Child, run_script
from machine import MACOS, within
from original import require_original
from raw_peers import wait_until
from stream_messages import adds_up, answer, updates
from stream_server import FakeServer, Network, refuse

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.errors import ClientClosed, RemoteError, RequestTimeout
from laplace_server.extras import how_to_install
from laplace_server.stats import ErrorKind
from laplace_server.stream import EndedEpoch, Subscription, Update

PATIENCE_S = within(20)


def address_of(server: ServerLHC) -> str:
    return f"tcp://127.0.0.1:{server.server_port}"


@pytest.fixture
def server(make_server: Any) -> ServerLHC:
    server: ServerLHC = make_server()
    server.declare_stream("s")
    return server


@pytest.fixture
def client(server: ServerLHC) -> Iterator[ClientLHC]:
    with ClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
        yield client


def publish(server: ServerLHC, first: int, last: int) -> None:
    for n in range(first, last + 1):
        assert server.publish("s", {"n": n}) == n


def numbers(subscription: Subscription, upto: int) -> list[int]:
    """Those of the updates up to one; what is lost before each must fit."""
    found: list[int] = []
    position = subscription._follower.following
    while not found or found[-1] < upto:
        update = subscription.next(PATIENCE_S)
        assert update.seq == position + update.lost_before
        position = update.seq + 1
        found.append(update.seq)
    return found


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
            assert subscription._follower.following == taken.seq + 1
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


# ---- breaks


def test_cuts_in_the_middle_of_a_stream(server: ServerLHC) -> None:
    total = 20_000
    with Network(int(server.server_port)) as network:
        with ClientLHC(network.address, timeout_s=PATIENCE_S) as client:
            with client.subscribe("s") as subscription:
                for begin in range(1, total, total // 5):
                    publish(server, begin, begin + total // 5 - 1)
                    numbers(subscription, begin + 10)
                    network.cut()
                assert numbers(subscription, total)[-1] == total
                assert (subscription.lost, subscription.ended) == (0, ())
    wait_until(lambda: server.stats().subscribers == (), "it has left")


def test_what_is_gone_after_a_break_is_told(server: ServerLHC) -> None:
    server.declare_stream("s", history_bytes=10_000)
    with Network(int(server.server_port)) as network:
        with ClientLHC(network.address, timeout_s=PATIENCE_S) as client:
            with client.subscribe("s") as subscription:
                publish(server, 1, 5)
                assert numbers(subscription, 5) == [1, 2, 3, 4, 5]
                network.cut()
                wait_until(lambda: server.stats().subscribers == (), "the break is seen")
                publish(server, 6, 20_000)
                received = len(numbers(subscription, 20_000))
                assert subscription.lost == 20_000 - 5 - received > 0


def test_silence_is_a_break(server: ServerLHC, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laplace_server.follower.SILENCE_S", within(1.5))
    with Network(int(server.server_port)) as network:
        with ClientLHC(network.address, timeout_s=PATIENCE_S) as client:
            with client.subscribe("s") as subscription:
                publish(server, 1, 5)
                assert numbers(subscription, 5) == [1, 2, 3, 4, 5]
                network.hold()
                publish(server, 6, 9)
                assert numbers(subscription, 9) == [6, 7, 8, 9]


# ---- ends and restarts


def test_a_server_that_stops_accounts_for_all(make_server: Any) -> None:
    server = make_server()
    server.declare_stream("s")
    with ClientLHC(address_of(server)) as client, client.subscribe("s") as subscription:
        publish(server, 1, 5000)
        assert not subscription.server_ended
        epoch, received = server.epoch, 0
        server.stop()
        while not subscription.server_ended:
            try:
                subscription.next(0.1)
                received += 1
            except TimeoutError:
                pass
        (ended,) = subscription.ended
        assert ended == EndedEpoch(epoch, 1, received, 5000 - received, 5000, True)
        assert (subscription.lost, subscription.lag) == (5000 - received, 0)

        again = make_server(address=address_of(server))
        again.declare_stream("s")
        again.publish("s", {"n": 1})
        assert subscription.next(PATIENCE_S)[:2] == (1, again.epoch)
        assert not subscription.server_ended
        assert subscription.ended == (ended,)


PUBLISHER = """
import sys
from laplace_server import ServerLHC
server = ServerLHC("s", sys.argv[1], 1, "MOTOR")
server.declare_stream("s", history_bytes=20_000)
if sys.argv[2] == "before":
    server.publish("s", {})
server.start()
print(server.address_for_client.rpartition(":")[2], server.epoch, flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        number = server.publish("s", {"pad": "p" * 20})
    print(number, flush=True)
"""


def test_killed_servers_leave_ledgers_that_add_up(make_child: Any) -> None:
    child: Child = make_child(PUBLISHER, "tcp://127.0.0.1:*", "")
    port, epoch = child.hear().split()
    address = f"tcp://127.0.0.1:{port}"
    epochs, received = [int(epoch)], {int(epoch): 0}
    with ClientLHC(address, timeout_s=PATIENCE_S) as client:
        with client.subscribe("s") as subscription:
            for _ in range(3):
                child.tell("3000")
                last = int(child.hear())
                for _ in range(50):
                    received[subscription.next(PATIENCE_S).epoch] += 1
                child.process.kill()
                child.process.wait()
                child = make_child(PUBLISHER, address, "before")
                _, epoch = child.hear().split()
                epochs.append(int(epoch))
                received[int(epoch)] = 0
                while True:
                    update = subscription.next(PATIENCE_S)
                    received[update.epoch] += 1
                    if update.epoch == epochs[-1]:
                        break
                assert update.seq == 1
                ended = subscription.ended[-1]
                assert ended.epoch == epochs[-2]
                assert adds_up(ended)
                assert (ended.first, ended.complete) == (1, False)
                assert ended.received == received[ended.epoch]
                assert ended.last <= last
            assert [each.epoch for each in subscription.ended] == epochs[:-1]


def test_a_stream_that_is_declared_late_is_waited_for(make_server: Any) -> None:
    server = make_server()
    server.declare_stream("s")
    with ClientLHC(address_of(server)) as client, client.subscribe("s") as subscription:
        publish(server, 1, 3)
        assert numbers(subscription, 3) == [1, 2, 3]
        server.stop()
        again = make_server(address=address_of(server))
        with pytest.raises(TimeoutError):
            subscription.next(within(1.5))
        assert again.stats().errors[ErrorKind.PAYLOAD] >= 1
        again.declare_stream("s")
        publish(again, 1, 2)
        assert [subscription.next(PATIENCE_S).seq for _ in range(2)] == [1, 2]
        assert [each.last for each in subscription.ended] == [3]


def test_nothing_but_json_reaches_a_server_that_has_granted_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Servers before 1.0 die of what is no JSON, and one may be started on the same port."""
    monkeypatch.setattr("laplace_server.follower.SILENCE_S", 0.3)
    monkeypatch.setattr("laplace_server.follower.AGAIN_S", 0.2)
    with FakeServer(lambda body: [answer()] if body[:1] == b"{" else []) as granting:
        with ClientLHC(granting.address, timeout_s=PATIENCE_S) as client:
            subscription = client.subscribe("s")
        assert json.loads(granting.hear())["cmd"] == "SUBSCRIBE"
        for n in range(1, 9):
            granting.send(updates(n, n))
        address = granting.address
    with FakeServer(refuse, address) as other:
        # Credit is due now, before anybody here has seen that the connection broke.
        assert numbers(subscription, 8) == list(range(1, 9))
        with pytest.raises(TimeoutError):
            subscription.next(1.0)
        subscription.close()
        wait_until(lambda: other.bodies.qsize() >= 3, "it asks again")
    bodies = [other.bodies.get() for _ in range(other.bodies.qsize())]
    assert {json.loads(body)["cmd"] for body in bodies} == {"SUBSCRIBE"}


OLD_SERVER = """
import sys
sys.path.insert(0, sys.argv[2])
from laplace_server import ServerLHC, __version__
server = ServerLHC("old", sys.argv[1], 1, "MOTOR", {})
server.start()
print(__version__, flush=True)
sys.stdin.readline()
print(server.is_alive(), flush=True)
server.stop()
"""


def test_the_original_on_the_same_port_survives(make_server: Any, make_child: Any) -> None:
    original = str(require_original())
    server = make_server()
    server.declare_stream("s")
    address = address_of(server)
    with ClientLHC(address, timeout_s=PATIENCE_S) as client, client.subscribe("s") as subscription:
        publish(server, 1, 8)
        server.stop()
        child: Child = make_child(OLD_SERVER, address.replace("127.0.0.1", "*"), original)
        assert child.hear() == "0.2.0"
        assert numbers(subscription, 8) == list(range(1, 9))
        with pytest.raises(TimeoutError):
            subscription.next(3.0)
        assert client.ping() < PATIENCE_S
        with pytest.raises(RemoteError):
            client.subscribe("s")
        child.tell("end")
        assert child.hear() == "True"
        child.process.wait(PATIENCE_S)
        again = make_server(address=address)
        again.declare_stream("s")
        publish(again, 1, 1)
        assert subscription.next(PATIENCE_S)[:2] == (1, again.epoch)


def test_a_server_that_comes_a_little_late_is_met(make_server: Any) -> None:
    server = make_server(start=False)
    server.declare_stream("s")
    with ThreadPoolExecutor(1) as threads, ClientLHC(address_of(server)) as client:
        begun = threads.submit(client.subscribe, "s", timeout_s=PATIENCE_S)
        server.start()
        with begun.result(PATIENCE_S) as subscription:
            publish(server, 1, 1)
            assert subscription.next(PATIENCE_S).seq == 1


def test_nobody_there() -> None:
    with FakeServer(lambda body: []) as silent:
        with ClientLHC(silent.address) as client:
            with pytest.raises(RequestTimeout, match="SUBSCRIBE within"):
                client.subscribe("s", timeout_s=0.1)
    with ClientLHC(silent.address) as client:
        with pytest.raises(RequestTimeout):
            client.subscribe("s", timeout_s=0.3)


# ---- closing


def test_closing_ends_a_thread_that_iterates(server: ServerLHC, client: ClientLHC) -> None:
    with ThreadPoolExecutor(1) as threads:
        subscription = client.subscribe("s")
        collected = threads.submit(lambda: [update.seq for update in subscription])
        publish(server, 1, 3)
        wait_until(lambda: subscription._follower.following == 4, "it waits")
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
        wait_until(lambda: subscription._receiving, "it waits")
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
            assert subscription._context.closed


@pytest.mark.skipif(sys.platform == "win32", reason="signals to this process")
def test_closing_in_a_signal_handler(client: ClientLHC) -> None:
    with ThreadPoolExecutor(1) as threads:
        subscription = client.subscribe("s")

        def interrupt() -> None:
            wait_until(lambda: subscription._receiving, "it waits")
            os.kill(os.getpid(), signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, lambda *_: subscription.close())
        try:
            interrupting = threads.submit(interrupt)
            with pytest.raises(ClientClosed):
                subscription.next()
            interrupting.result(PATIENCE_S)
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert subscription._context.closed


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
        with pytest.raises(RemoteError):
            client.subscribe("no such stream")
        with pytest.raises(ValueError, match="credit_bytes"):
            client.subscribe("s", credit_bytes=0)
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

def read():
    with ClientLHC(sys.argv[1], timeout_s=20) as client, client.subscribe("s", start=1) as updates:
        ready.set()
        begun.wait(20)
        if sys.argv[2] == "get":
            return client.get(arrays=True)["a"].shape
        return updates.next(20).data["a"].shape, updates.lost

async def read_async():
    async with AsyncClientLHC(sys.argv[1], timeout_s=20) as client:
        async with client.subscribe("s", start=1) as updates:
            ready.set()
            begun.wait(20)
            if sys.argv[2] == "get":
                return (await client.get(arrays=True))["a"].shape
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
