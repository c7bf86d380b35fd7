"""What the server does for streams beside sending: set_data, waiting, INFO."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any

import numpy as np
import pytest
import zmq
from support.machine import INTERRUPT
from support.peers import PATIENCE_S, Peer, request
from support.serving import serving
from support.stream_peers import WirePeer
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.server.engine import engine_of
from laplace_server.stats import ErrorKind


@pytest.fixture
def server(make_server: Any) -> ServerLHC:
    server: ServerLHC = make_server(stream_history_bytes=1 << 20)
    return server


# ---- set_data


@pytest.mark.parametrize("copy", [False, True])
def test_set_data_appends_once_somebody_has_subscribed(
    server: ServerLHC, client: ClientLHC, copy: bool
) -> None:
    server.set_data({"n": 0}, copy=copy)
    assert server._core.streams.names() == []
    with client.subscribe() as subscription:
        for n in range(1, 4):
            server.set_data({"n": n, "a": np.arange(n)}, copy=copy)
        updates = [subscription.next(PATIENCE_S) for _ in range(3)]
        assert [(update.seq, update.data["n"]) for update in updates] == [(1, 1), (2, 2), (3, 3)]
        assert updates[2].data["a"].tolist() == [0, 1, 2]
        assert client.get() == {"n": 3, "a": [0, 1, 2]}
    # A client that was cut off meanwhile must not miss anything without knowing.
    server.set_data({"n": 4}, copy=copy)
    with client.subscribe("data", start=4) as subscription:
        assert subscription.next(PATIENCE_S).data == {"n": 4}


def test_set_data_appends_once_declared(server: ServerLHC, client: ClientLHC) -> None:
    server.declare_stream("data")
    server.set_data({"n": 1})
    server.set_data({"n": 2})
    server.set_data({"n": object()})
    with pytest.raises(TypeError):
        server.set_data({"n": object()}, copy=True)
    server.set_data({"n": 3})
    with client.subscribe(start="oldest") as subscription:
        assert [subscription.next(PATIENCE_S).data["n"] for _ in range(3)] == [1, 2, 3]


# ---- policy "block"


def test_a_publisher_waits_for_who_is_behind(server: ServerLHC, client: ClientLHC) -> None:
    server.declare_stream("s", history_count=4, policy="block", block_timeout_s=60)
    total = 5000
    producer = threading.Thread(
        target=lambda: [server.publish("s", {"n": n}) for n in range(total)]
    )
    with client.subscribe("s") as subscription:
        producer.start()
        numbers = [subscription.next(PATIENCE_S).data["n"] for _ in range(total)]
        producer.join()
        assert numbers == list(range(total))
        assert subscription.lost == 0


def test_who_stays_behind_is_given_up(
    server: ServerLHC, client: ClientLHC, caplog: pytest.LogCaptureFixture
) -> None:
    server.declare_stream("s", history_count=4, policy="block", block_timeout_s=0.3)
    data = {"a": np.zeros(1000)}
    with client.subscribe("s", credit_bytes=1), client.subscribe("s") as quick:
        with client.subscribe("s", latest_only=True):
            begun = time.monotonic()
            for _ in range(200):
                server.publish("s", data)
                quick.next(PATIENCE_S)
            # Once, not for each update; and nobody waits for the one who skips.
            assert 0.3 <= time.monotonic() - begun < PATIENCE_S
            assert quick.lost == 0
            waited_for = [each.waited_for for each in server.stats().subscribers]
            assert waited_for == [False, True, False]
    (told,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert told.getMessage().startswith("[Server tested] Subscriber ")
    assert "held up publishing to 's'" in told.getMessage()


def test_who_was_given_up_is_waited_for_when_it_subscribes_again(
    server: ServerLHC, client: ClientLHC, caplog: pytest.LogCaptureFixture
) -> None:
    server.declare_stream("s", history_count=4, policy="block", block_timeout_s=0)
    with client.subscribe("s", credit_bytes=1) as subscription:
        last = [server.publish("s", {"a": np.zeros(1000)}) for _ in range(20)][-1]
        while subscription.next(PATIENCE_S).seq < last:
            pass
        wait_until(lambda: server.stats().subscribers[0].lag == 0, "it has caught up")
        assert [each.waited_for for each in server.stats().subscribers] == [False]
        with client.subscribe("s"):
            assert [each.waited_for for each in server.stats().subscribers] == [False, True]
    assert "is not waited for until it subscribes again" in caplog.text


def test_a_waiting_publisher_is_released(make_server: Any) -> None:
    """By a subscriber that leaves, a change of policy, and the server's end."""
    server: ServerLHC = make_server()
    client = ClientLHC(f"tcp://127.0.0.1:{server.server_port}", timeout_s=PATIENCE_S)
    blocked = {"history_count": 1, "policy": "block", "block_timeout_s": 60}

    def released_by(act: Any) -> None:
        server.declare_stream("s", **blocked)  # type: ignore[arg-type]
        subscription = client.subscribe("s", credit_bytes=1)
        published: list[int] = []
        producer = threading.Thread(
            target=lambda: published.extend(server.publish("s", {}) for _ in range(10))
        )
        producer.start()
        wait_until(lambda: len(published) == 2, "one was sent, one is kept, the third waits")
        act(subscription)
        producer.join(PATIENCE_S)
        assert not producer.is_alive()
        subscription.close()
        wait_until(lambda: server._core.streams.ledgers() == [], "it has left")

    released_by(lambda subscription: subscription.close())
    released_by(lambda subscription: server.declare_stream("s", policy="gap"))
    client.close()


def test_the_end_releases_a_waiting_publisher(make_server: Any) -> None:
    server: ServerLHC = make_server()
    server.declare_stream("s", history_count=1, policy="block", block_timeout_s=60)
    with ClientLHC(f"tcp://127.0.0.1:{server.server_port}") as client:
        with client.subscribe("s", credit_bytes=1):
            producer = threading.Thread(target=lambda: [server.publish("s", {}) for _ in range(10)])
            producer.start()
            wait_until(lambda: server._core.streams.range_of("s")[1] == 2, "the third waits")
            server.stop()
            producer.join(PATIENCE_S)
            assert not producer.is_alive()


@pytest.mark.parametrize(
    "arguments",
    [
        {"policy": "drop"},
        {"block_timeout_s": -1},
        {"block_timeout_s": float("nan")},
        {"history_bytes": -1},
        {"history_count": 0},
    ],
    ids=str,
)
def test_wrong_declarations_are_refused(server: ServerLHC, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        server.declare_stream("s", **arguments)
    assert server._core.streams.names() == []


@pytest.mark.parametrize("timestamp", [float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(server: ServerLHC, timestamp: float) -> None:
    with pytest.raises(ValueError, match="timestamp"):
        server.publish("s", {}, timestamp=timestamp)


@pytest.mark.parametrize("timestamp", ["now", [1.5], 1j])
def test_a_time_of_another_type_is_refused(server: ServerLHC, timestamp: Any) -> None:
    with pytest.raises(TypeError, match="'timestamp' must be a number of seconds, not "):
        server.publish("s", {}, timestamp=timestamp)
    assert server.publish("s", {}) == 1


# ---- what the server tells


def test_info_tells_of_the_streams(server: ServerLHC, client: ClientLHC) -> None:
    assert not {"epoch", "streams"} & set(client.info())
    server.declare_stream('o"ne\u00e9')
    server.declare_stream("s", history_count=2)
    for _ in range(5):
        server.publish("s", {})
    wanted = {'o"ne\u00e9': {"first": 1, "last": 0}, "s": {"first": 4, "last": 5}}
    for opaque in (False, True):  # answered by the loop; by Python
        with Peer(server) as peer:
            body = request("INFO")
            peer.send(body.replace(b'"INFO"', b'"\\u0049NFO"') if opaque else body)
            found = peer.receive()["payload"]
        assert (found["streams"], found["epoch"]) == (wanted, server.epoch)
        assert found["name"] == server.name
    server.publish("s", {})
    assert client.info()["streams"]["s"] == {"first": 5, "last": 6}


def test_the_history_of_a_server_is_that_of_its_streams(server: ServerLHC) -> None:
    for _ in range(300):
        server.publish("s", {"a": np.zeros(1000)})
        server.publish("t", {"a": np.zeros(1000)})
    assert 0.9 * 2**20 < server._core.streams.history_bytes("s") <= 2**20
    assert 0.9 * 2**20 < server._core.streams.history_bytes("t") <= 2**20


def test_a_subscriber_that_does_not_read_is_not_sent_more_and_more(server: ServerLHC) -> None:
    """Whatever it allows: what libzmq keeps for it is bounded."""
    server.declare_stream("s", history_bytes=1 << 30)
    array = np.zeros(1 << 20, "u1")
    payload = {"stream": "s", "subscription": 1, "start": "latest"}
    with Peer(server, zmq.DEALER, options={zmq.RCVHWM: 1}) as deaf:
        deaf.send(request("SUBSCRIBE", {**payload, "messages": 2**63, "bytes": 2**63}))
        wait_until(lambda: len(server._core.streams.ledgers()) == 1, "it has subscribed")
        for _ in range(200):
            server.publish("s", {"a": array})
        with ClientLHC(f"tcp://127.0.0.1:{server.server_port}") as client:
            with client.subscribe("s", start="oldest") as other:
                assert [other.next(PATIENCE_S).seq for _ in range(200)] == list(range(1, 201))
        sent = next(
            each["sent"] for each in server._core.streams.ledgers() if each["who"] == b'"tester"'
        )
        # What the server keeps for it, and what the network holds.
        assert 1 <= sent <= 16 + 48


# ---- what a review found


def test_nothing_is_published_once_the_last_number_is_told(
    make_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server()
    server.declare_stream("s")
    numbers: list[int] = []
    stopping = threading.Event()

    def publish() -> None:
        while not numbers or numbers[-1]:
            numbers.append(server.publish("s", {}))
            if len(numbers) == 1000:
                stopping.set()

    producer = threading.Thread(target=publish)
    with ClientLHC(f"tcp://127.0.0.1:{server.server_port}", timeout_s=PATIENCE_S) as client:
        with client.subscribe("s") as subscription:
            producer.start()
            stopping.wait(PATIENCE_S)
            server.stop()
            producer.join(PATIENCE_S)
            while not subscription.server_ended:
                with contextlib.suppress(TimeoutError):
                    subscription.next(0.01)
            (ended,) = subscription.ended
            assert ended.complete
            assert ended.last == len(numbers) - 1
            assert ended.received + ended.lost == ended.last
    assert server.publish("s", {}) == server.publish("new", {}) == 0
    server.set_data({"still": "set"})
    (told,) = [each for each in caplog.messages if "goes nowhere" in each]
    assert told.startswith("[Server tested] ")


def test_a_producer_waits_for_no_one_where_nothing_goes(
    server: ServerLHC, client: ClientLHC
) -> None:
    server.declare_stream("s", history_count=3)
    for _ in range(10):
        server.publish("s", {})
    with Peer(server, zmq.DEALER) as behind:
        payload = {"stream": "s", "subscription": 1, "start": 1, "messages": 0, "bytes": 0}
        behind.send(request("SUBSCRIBE", payload))
        wait_until(lambda: len(server._core.streams.ledgers()) == 1, "it has subscribed")
        server.declare_stream("s", policy="block", block_timeout_s=60)
        begun = time.monotonic()
        for _ in range(200):
            server.publish("s", {"a": np.zeros(100)})
        assert time.monotonic() - begun < PATIENCE_S


def test_a_subscription_does_not_make_set_data_fail(
    server: ServerLHC, client: ClientLHC, caplog: pytest.LogCaptureFixture
) -> None:
    data = {"a": [np.zeros(1)] * 65536}
    with client.subscribe("data"):
        server.set_data(data, copy=True)
    assert len(server.data["a"]) == 65536
    assert "[Server tested] The data is set, but not published to 'data'" in caplog.text


def test_a_first_publish_does_not_undo_a_declaration(server: ServerLHC) -> None:
    server.declare_stream("s", history_count=3)
    engine_of(server).streams.declare_unless_there("s")
    for _ in range(10):
        server.publish("s", {})
    assert server._core.streams.range_of("s") == (8, 10)


def test_who_says_nothing_hears_no_more(server: ServerLHC) -> None:
    server.declare_stream("s")
    with Peer(server, zmq.DEALER) as peer:
        payload = {"stream": "s", "subscription": 1, "start": "latest", "messages": 9, "bytes": 99}
        peer.send(request("SUBSCRIBE", payload))
        peer.receive()
        for _ in range(8):
            assert peer.receive_frames(5)[1][5] == 2  # alive
        with pytest.raises(TimeoutError):
            peer.receive_frames(2.5)
        server.publish("s", {})
        assert peer.receive_frames()[1][5] == 1


SLOW_SUBSCRIBER = """
import sys
from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.server.engine import engine_of
server = ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR")
server.declare_stream("s", history_count=1, policy="block", block_timeout_s=1e6)
with server, ClientLHC(f"tcp://127.0.0.1:{server.server_port}") as client:
    with client.subscribe("s", credit_bytes=1):
        server.publish("s", {})
        server.publish("s", {})
        try:
            print("waits", flush=True)
            server.publish("s", {})
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""


def test_ctrl_c_reaches_a_waiting_publisher(make_child: Any) -> None:
    child = make_child(SLOW_SUBSCRIBER)
    assert child.hear() == "waits"
    child.process.send_signal(INTERRUPT)
    assert child.hear() == "interrupted"
    assert child.process.wait(PATIENCE_S) == 0


def test_subscriptions_of_a_connection_are_bounded() -> None:
    wanted = {"stream": "s", "start": "latest", "messages": 0, "bytes": 0}
    with serving(max_subscriptions_per_connection=2) as server:
        server.declare_stream("s")
        with WirePeer(server) as peer, WirePeer(server) as other:
            for number in (1, 2, 2):
                peer.subscribe("s", number=number)
            for _ in range(2):
                refused = peer.ask("SUBSCRIBE", {**wanted, "subscription": 3})
                assert refused["error_msg"] == (
                    "This connection has 2 subscriptions already "
                    "(max_subscriptions_per_connection); no more are taken."
                )
                assert (refused["cmd"], refused["payload"]) == ("SUBSCRIBE", {})
            other.subscribe("s", number=3)
            assert server.stats().errors[ErrorKind.SUBSCRIPTIONS] == 2
            assert len(server.stats().subscribers) == 3
            peer.leave(2)
            peer.subscribe("s", number=3)
        # Connections that come and go leave nothing behind of it.
        for _ in range(3):
            with WirePeer(server) as peer:
                peer.subscribe("s", number=1)
                peer.subscribe("s", number=2)
