"""What the server counts."""

from __future__ import annotations

import dataclasses
import math
import pickle
import threading
from collections.abc import Callable

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from support.isolated import Child
from support.machine import within
from support.peers import Connect
from support.pollers import Poller
from support.serving import MakeServer, limited
from support.waiting import eventually

from laplace_server.stats import CommandStats, ErrorKind, LatencyHistogram, Refusal, upper_bound


def test_the_kinds_of_errors_keep_their_numbers() -> None:
    kinds = (
        "NONE MALFORMED VERSION UNKNOWN_COMMAND PAYLOAD HANDLER NOT_PERMITTED DATA BUSY STOPPING "
        "NO_DELIMITER UNROUTABLE REPLY_OVERFLOW NO_MEMORY LOG_DROPPED SUBSCRIPTIONS"
    )
    assert [kind.value for kind in ErrorKind] == list(range(16))
    assert " ".join(kind.name for kind in ErrorKind) == kinds
    assert repr(ErrorKind.BUSY) == "<ErrorKind.BUSY: 8>"
    assert pickle.loads(pickle.dumps(ErrorKind.BUSY)) is ErrorKind.BUSY


def test_the_refusals_keep_their_numbers() -> None:
    reasons = (
        "NOT_ZMTP ZMTP_VERSION MECHANISM SOCKET_TYPE MALFORMED HANDSHAKE_TIMEOUT MESSAGE_SIZE "
        "MESSAGE_FRAMES CONNECTIONS ADDRESS DISPLACED HEARTBEAT NO_MEMORY ROUTE_SIZE "
        "ANONYMOUS WITHDRAWN UNKNOWN_KEY WRONG_SERVER_KEY NOT_AUTHENTIC"
    )
    assert [reason.value for reason in Refusal] == list(range(19))
    assert " ".join(reason.name for reason in Refusal) == reasons
    assert pickle.loads(pickle.dumps(Refusal.ADDRESS)) is Refusal.ADDRESS


def test_a_new_server_has_counted_nothing(make_server: MakeServer) -> None:
    stats = make_server(start=False).stats()
    assert set(stats.commands.values()) == {CommandStats(0, 0)}
    assert {"", "PING", "SET ACT"} <= set(stats.commands)
    assert set(stats.errors) == set(ErrorKind) - {ErrorKind.NONE}
    numbers = dataclasses.asdict(stats)
    assert stats.subscribers == ()
    assert stats.data_error is None
    assert stats.callback_errors == stats.not_permitted == {}
    assert stats.refused == dict.fromkeys(Refusal, 0)
    del numbers["callback_errors"], numbers["refused"], numbers["not_permitted"]
    assert stats.clients == ()
    for name in (
        "commands",
        "errors",
        "native_latency",
        "python_latency",
        "subscribers",
        "clients",
    ):
        del numbers[name]
    assert stats.running is None
    del numbers["data_error"], numbers["running"]
    assert set(numbers.values()) == {0}
    assert stats.native_latency.total == stats.python_latency.total == 0
    assert stats.native_latency.quantile(0.5) == 0.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.bytes_in = 1  # type: ignore[misc]


def test_answers_by_command(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    requests = {"PING": 3, "INFO": 2, "GET": 4, "SET": 2, "SCAN": 1, "NONE": 2}
    for cmd, count in requests.items():
        for _ in range(count):
            client.ask(cmd, {"positions": 1})
    # What is counted is counted after the reply has left.
    assert eventually(lambda: server.stats().python_latency.total == 5)
    stats = server.stats()
    counts = {name: (c.native, c.python) for name, c in stats.commands.items()}
    wanted = {"PING": (3, 0), "INFO": (2, 0), "GET": (4, 0), "SET": (0, 2), "SCAN": (0, 1)}
    assert {name: count for name, count in counts.items() if any(count)} == wanted | {"": (0, 2)}
    assert stats.errors[ErrorKind.UNKNOWN_COMMAND] == 2
    assert stats.native_latency.total == 9
    assert stats.python_latency.total == 5
    server.set_on_get(lambda: None)
    client.ask("GET")
    assert eventually(lambda: server.stats().commands["GET"] == CommandStats(4, 1))


def test_bytes(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(data={"text": "x" * 1000})
    client = connect(server)
    client.get()
    # What is counted is counted after the reply has left.
    assert eventually(lambda: server.stats().native_latency.total == 1)
    stats = server.stats()
    assert 0 < stats.bytes_in < 300
    assert 1000 < stats.bytes_out < 1300
    client.ask("OPT", {"data": "y" * 5000})
    assert eventually(lambda: server.stats().python_latency.total == 1)
    later = server.stats()
    assert 5000 < later.bytes_in - stats.bytes_in < 5300
    assert 0 < later.bytes_out - stats.bytes_out < 300


def test_errors_by_kind(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(remote_stop=False)
    client = connect(server)
    dealer = connect(server, kind=zmq.DEALER)

    def raw(*frames: bytes) -> None:
        dealer.socket.send_multipart([b"", *frames])
        assert dealer.receive()["error_msg"]

    def handler(*arguments: object) -> None:
        raise ValueError

    server.register_handler("RAISE", handler)
    data: dict[str, object] = {"a": 1}
    server.set_data(data)
    data["a"] = object()
    raw(b"{")
    raw(b"[]")
    raw(b"\xff")
    raw(b"{}", b"{}")
    raw(b"", b"")
    client.ask("PING", version="9")
    client.ask("NONE")
    client.ask("SET")
    client.ask("RAISE")
    client.ask("STOP")
    client.ask("GET")
    dealer.socket.send(b"no empty frame")
    dealer.send("PING")
    dealer.receive()

    def errors() -> dict[ErrorKind, int]:
        return {kind: count for kind, count in server.stats().errors.items() if count}

    wanted = {
        ErrorKind.MALFORMED: 5,
        ErrorKind.VERSION: 1,
        ErrorKind.UNKNOWN_COMMAND: 1,
        ErrorKind.PAYLOAD: 1,
        ErrorKind.HANDLER: 1,
        ErrorKind.NOT_PERMITTED: 1,
        ErrorKind.DATA: 1,
        ErrorKind.NO_DELIMITER: 1,
    }
    assert eventually(lambda: errors() == wanted), errors()


def test_the_queue_is_counted_and_bounded(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(kind=limited(pending=3))
    begun, release = threading.Event(), threading.Event()

    def on_set(positions: object) -> None:
        begun.set()
        assert release.wait(20)

    server.set_on_position_changed(on_set)
    clients = [connect(server) for _ in range(5)]
    for client in clients:
        client.ask("PING")
    clients[0].send("SET", {"positions": "x" * 1000})
    assert begun.wait(20)
    for client in clients[1:3]:
        client.send("SET", {"positions": "x" * 1000})
    assert eventually(lambda: server.stats().queue_depth == 3)
    assert eventually(lambda: server.stats().queue_bytes > 3000)
    for client in clients[3:]:
        assert "busy" in client.ask("SET", {"positions": 1})["error_msg"].lower()
        assert client.ask("PING")["error_msg"] is None
    assert eventually(lambda: server.stats().errors[ErrorKind.BUSY] == 2)
    release.set()
    for client in clients[:3]:
        assert client.receive()["error_msg"] is None
    stats = server.stats()
    assert (stats.queue_depth, stats.queue_bytes, stats.queue_high_water) == (0, 0, 3)
    assert clients[4].ask("SET", {"positions": 1})["error_msg"] is None


def test_connections(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    clients = [connect(server) for _ in range(3)]
    for client in clients:
        client.ask("PING")
    assert eventually(lambda: server.stats().connections == 3)
    assert eventually(lambda: server.stats().connections_total == 3)
    for client in clients[:2]:
        client.close()
    assert eventually(lambda: server.stats().connections == 1)
    assert server.stats().connections_total == 3


def test_looks_are_counted(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    data = {"a": 1}
    server.set_data(data)
    client.get()
    before = server.stats().refreshes
    for _ in range(3):
        client.get()
    assert server.stats().refreshes - before == 3
    assert data == {"a": 1}


@pytest.mark.alone
def test_latency_of_a_slow_callback(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)

    def on_set(positions: object) -> None:
        threading.Event().wait(0.08)  # Windows may wake it 16 ms early

    server.set_on_position_changed(on_set)
    client.ask("SET", {"positions": 1})
    client.ask("PING")
    assert eventually(lambda: server.stats().native_latency.total == 1)
    stats = server.stats()
    assert 0.05 <= stats.python_latency.quantile(1.0) < within(1.0)
    assert 0 < stats.native_latency.quantile(1.0) < within(0.05)


@pytest.mark.alone
def test_reading_while_everything_happens_stalls_nobody(
    make_server: MakeServer, make_child: Callable[..., Child]
) -> None:
    server = make_server()
    poller = Poller(make_child, server.server_port)
    poller.begin(0.3, "GET", "SET", "PING")
    stopped = threading.Event()
    reads = []

    def read() -> None:
        while not stopped.is_set():
            reads.append(server.stats().bytes_in)

    thread = threading.Thread(target=read)
    thread.start()
    seen = poller.result()
    stopped.set()
    thread.join()
    assert seen.longest_s < within(0.1)
    assert reads == sorted(reads)
    assert len(reads) > 20


def test_stats_outlive_the_server(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    connect(server).ask("PING")
    assert eventually(lambda: server.stats().connections == 1)
    server.stop()
    stats = server.stats()
    assert stats.commands["PING"].native == 1
    assert (stats.connections, stats.queue_depth, stats.parked_bytes) == (0, 0, 0)


def test_quantiles_by_hand() -> None:
    # 2 of 4 to 5 ns, 1 of 8 to 10 ns, 1 of 1024 to 1280 ns
    counts = [0] * 144
    counts[0], counts[4], counts[4 * 8] = 2, 1, 1
    histogram = LatencyHistogram(tuple(counts))
    assert histogram.total == 4
    quantiles = {q: round(histogram.quantile(q) * 1e9, 3) for q in (0.0, 0.5, 0.51, 0.75, 0.76, 1)}
    assert quantiles == {0.0: 5, 0.5: 5, 0.51: 10, 0.75: 10, 0.76: 1280, 1: 1280}
    for q in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            histogram.quantile(q)


@given(st.lists(st.integers(0, 143), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_is_the_bound_of_the_bucket_of_its_rank(buckets: list[int], q: float) -> None:
    histogram = LatencyHistogram(tuple(buckets.count(i) for i in range(144)))
    rank = max(1, math.ceil(q * len(buckets)))
    assert histogram.quantile(q) == upper_bound(sorted(buckets)[rank - 1])
    assert all(upper_bound(i) < upper_bound(i + 1) <= 1.26 * upper_bound(i) for i in range(4, 143))
