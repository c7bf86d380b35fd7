"""Subscriptions over breaks, restarts and ends: nothing is lost without a word."""

from __future__ import annotations

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.both_clients import Kind
from support.isolated import Child
from support.machine import within
from support.original import require_original
from support.peers import PATIENCE_S, address_of
from support.proxy import Proxy
from support.scripted_server import ScriptedServer, refuse, silence
from support.serving import MakeServer
from support.stream_messages import adds_up, answer, updates
from support.updates import numbers, publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client.stream_connection import BaseStreamConnection
from laplace_server.client.subscription_protocol import SubscriptionProtocol
from laplace_server.errors import RemoteError, RequestTimeout
from laplace_server.stats import ErrorKind
from laplace_server.stream import EndedEpoch

# ---- breaks


def test_cuts_in_the_middle_of_a_stream(kind: Kind, server: ServerLHC) -> None:
    total = 20_000
    with Proxy(server.server_port) as network:
        with kind(network.address, timeout_s=PATIENCE_S) as client:
            with client.subscribe("s") as subscription:
                for begin in range(1, total, total // 5):
                    publish(server, begin, begin + total // 5 - 1)
                    numbers(subscription, begin + 10)
                    network.cut()
                assert numbers(subscription, total)[-1] == total
                assert (subscription.lost, subscription.ended) == (0, ())
    wait_until(lambda: server.stats().subscribers == (), "it has left")


def test_what_is_gone_after_a_break_is_told(kind: Kind, server: ServerLHC) -> None:
    server.declare_stream("s", history_bytes=10_000)
    with Proxy(server.server_port) as network:
        with kind(network.address, timeout_s=PATIENCE_S) as client:
            with client.subscribe("s") as subscription:
                publish(server, 1, 5)
                assert numbers(subscription, 5) == [1, 2, 3, 4, 5]
                network.cut()
                wait_until(lambda: server.stats().subscribers == (), "the break is seen")
                publish(server, 6, 20_000)
                received = len(numbers(subscription, 20_000))
                assert subscription.lost == 20_000 - 5 - received > 0


def test_silence_is_a_break(kind: Kind, server: ServerLHC, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laplace_server.client.subscription_reader.SILENCE_S", within(1.5))
    with Proxy(server.server_port) as network:
        with kind(network.address, timeout_s=PATIENCE_S) as client:
            with client.subscribe("s") as subscription:
                publish(server, 1, 5)
                assert numbers(subscription, 5) == [1, 2, 3, 4, 5]
                network.freeze(new_ones=False)
                publish(server, 6, 9)
                assert numbers(subscription, 9) == [6, 7, 8, 9]


@pytest.mark.parametrize(
    ("owner", "name"), [(SubscriptionProtocol, "todo"), (BaseStreamConnection, "tell")]
)
def test_what_came_before_a_break_is_read_before_the_break_is_believed(
    kind: Kind, make_server: MakeServer, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """All that a server says comes between two looks of the client: updates, END, the break.

    That is before it looks for what to do, and between a time-out and the look at the connection.
    """
    server = make_server()
    server.declare_stream("s")
    plain = getattr(owner, name)
    stalled = threading.Event()
    taken: list[int] = []

    def look(*arguments: Any) -> Any:
        if stalled.is_set():
            stalled.clear()
            publish(server, 2, 11)
            server.stop()  # when it returns, all has come
        return plain(*arguments)

    def take(subscription: Any) -> bool:
        with contextlib.suppress(TimeoutError):
            taken.append(subscription.next(0.05).seq)
        return bool(subscription.server_ended)

    monkeypatch.setattr(owner, name, look)
    with kind(address_of(server)) as client, client.subscribe("s") as subscription:
        publish(server, 1, 1)
        assert subscription.next(PATIENCE_S).seq == 1
        stalled.set()
        wait_until(lambda: take(subscription), "the end")
        assert not stalled.is_set()
        assert taken == list(range(2, 12))
        assert subscription.ended == (EndedEpoch(server.epoch, 1, 11, 0, 11, True),)


# ---- ends and restarts


def test_a_server_that_stops_accounts_for_all(kind: Kind, make_server: Any) -> None:
    server = make_server()
    server.declare_stream("s")
    with kind(address_of(server)) as client, client.subscribe("s") as subscription:
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


def test_killed_servers_leave_ledgers_that_add_up(kind: Kind, make_child: Any) -> None:
    child: Child = make_child(PUBLISHER, "tcp://127.0.0.1:*", "")
    port, epoch = child.hear().split()
    address = f"tcp://127.0.0.1:{port}"
    epochs, received = [int(epoch)], {int(epoch): 0}
    with kind(address, timeout_s=PATIENCE_S) as client:
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


def test_a_stream_that_is_declared_late_is_waited_for(kind: Kind, make_server: Any) -> None:
    server = make_server()
    server.declare_stream("s")
    with kind(address_of(server)) as client, client.subscribe("s") as subscription:
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
    kind: Kind,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Servers before 1.0 die of what is no JSON, and one may be started on the same port."""
    monkeypatch.setattr("laplace_server.client.subscription_reader.SILENCE_S", 0.3)
    monkeypatch.setattr("laplace_server.client.subscription_reader.AGAIN_S", 0.2)
    with ScriptedServer(lambda body: [answer()] if body[:1] == b"{" else []) as granting:
        with kind(granting.address, timeout_s=PATIENCE_S) as client:
            subscription = client.subscribe("s")
        assert json.loads(granting.hear())["cmd"] == "SUBSCRIBE"
        for n in range(1, 9):
            granting.send(updates(n, n))
        address = granting.address
    with ScriptedServer(refuse, address) as other:
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


def test_the_original_on_the_same_port_survives(
    kind: Kind, make_server: Any, make_child: Any
) -> None:
    original = str(require_original())
    server = make_server()
    server.declare_stream("s")
    address = address_of(server)
    with kind(address, timeout_s=PATIENCE_S) as client, client.subscribe("s") as subscription:
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


def test_a_server_that_comes_a_little_late_is_met(kind: Kind, make_server: Any) -> None:
    server = make_server(start=False)
    server.declare_stream("s")
    with ThreadPoolExecutor(1) as threads, kind(address_of(server)) as client:
        begun = threads.submit(client.subscribe, "s", timeout_s=PATIENCE_S)
        server.start()
        with begun.result(PATIENCE_S) as subscription:
            publish(server, 1, 1)
            assert subscription.next(PATIENCE_S).seq == 1


def test_nobody_there(kind: Kind) -> None:
    with ScriptedServer(silence) as silent:
        with kind(silent.address) as client:
            with pytest.raises(RequestTimeout, match="SUBSCRIBE within"):
                client.subscribe("s", timeout_s=0.1)
    with kind(silent.address) as client:
        with pytest.raises(RequestTimeout):
            client.subscribe("s", timeout_s=0.3)
