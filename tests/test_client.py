"""The client: its requests on the wire, its replies, its ends, against several kinds of server."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import decimal
import enum
import gc
import json
import math
import os
import pathlib
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import numpy
import pytest
import zmq
from machine import MACOS, OWN_THREADS, native_threads, within
from raw_peers import bind

from laplace_server import ServerLHC, connections, errors
from laplace_server.client import ClientLHC

LIMIT_S = 20.0


# -- servers


class ScriptedServer:
    """A ROUTER in a thread that answers what ``answer`` says, so also what no server should.

    ``answer(message)`` returns the reply frames to send, each a dict or bytes: none is silence,
    several are sent one after another. ``received`` holds the messages that came.
    """

    def __init__(
        self, answer: Callable[[dict[str, Any]], list[Any]], address: str = "tcp://127.0.0.1:*"
    ) -> None:
        self._answer = answer
        self.received: queue.Queue[dict[str, Any]] = queue.Queue()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.ipv6 = "[" in address
        bind(self._socket, address)
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._waiting: list[tuple[list[bytes], bytes]] = []
        self._wake = self._context.socket(zmq.PAIR)
        self._wake.bind("inproc://wake")
        self._control = self._context.socket(zmq.PAIR)
        self._control.connect("inproc://wake")
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        poller = zmq.Poller()
        for each in (self._socket, self._control):
            poller.register(each, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self._control in ready:
                order = self._control.recv()
                if order == b"stop":
                    return
                # Late answers go out now.
                for envelope, reply in self._waiting:
                    self._socket.send_multipart([*envelope, reply])
                self._waiting.clear()
            if self._socket in ready:
                frames = self._socket.recv_multipart()
                message = json.loads(frames[-1])
                for reply in self._answer(message):
                    self._send(frames[:-1], reply)
                self.received.put(message)

    def _send(self, envelope: list[bytes], reply: Any) -> None:
        if isinstance(reply, tuple):
            self._waiting.append((envelope, _encoded(reply[0])))
        elif isinstance(reply, list):
            self._socket.send_multipart([*envelope, *reply])
        else:
            self._socket.send_multipart([*envelope, _encoded(reply)])

    def send_late_answers(self) -> None:
        """Send what ``answer`` gave as a tuple: (reply,)."""
        self._wake.send(b"late")

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._wake.send(b"stop")
            self._thread.join(LIMIT_S)
        for each in (self._socket, self._wake, self._control):
            each.close()
        self._context.term()


def _encoded(reply: Any) -> bytes:
    return reply if isinstance(reply, bytes) else json.dumps(reply).encode()


def reply_to(message: dict[str, Any], payload: Any = None, **fields: Any) -> dict[str, Any]:
    return {
        "from": "scripted",
        "to": message["from"],
        "cmd": message["cmd"],
        "payload": {} if payload is None else payload,
        "version": "0.2.2",
        "error_msg": None,
        "msg": None,
        **fields,
    }


def echo(message: dict[str, Any]) -> list[Any]:
    return [reply_to(message, message["payload"])]


def silence(message: dict[str, Any]) -> list[Any]:
    return []


@contextmanager
def talking(
    answer: Callable[[dict[str, Any]], list[Any]],
) -> Iterator[tuple[ScriptedServer, ClientLHC]]:
    """Run a scripted server and a client of it."""
    with ScriptedServer(answer) as server, ClientLHC(server.address, timeout_s=LIMIT_S) as client:
        yield server, client


def make_server(address: str = "tcp://127.0.0.1:*", **options: Any) -> ServerLHC:
    options = {"freedom": 2, "device": "MOTOR", "data": {"x": 1.5}, **options}
    return ServerLHC(name="served", address=address, **options)


def address_of(server: ServerLHC) -> str:
    return f"tcp://127.0.0.1:{server.server_port}"


@pytest.fixture
def server() -> Iterator[ServerLHC]:
    with make_server() as running:
        yield running


@pytest.fixture
def client(server: ServerLHC) -> Iterator[ClientLHC]:
    with ClientLHC(address_of(server), name="asker", timeout_s=LIMIT_S) as connected:
        yield connected


def unused_address() -> str:
    """Return an address of this machine where nobody listens."""
    context = zmq.Context()
    with context.socket(zmq.REP) as holder:
        port = holder.bind_to_random_port("tcp://127.0.0.1")
    context.term()
    return f"tcp://127.0.0.1:{port}"


# -- commands against the real server


def test_ping_returns_seconds(client: ClientLHC) -> None:
    start = time.perf_counter()
    round_trip = client.ping()
    assert 0 < round_trip <= time.perf_counter() - start


def test_info_returns_the_payload(client: ClientLHC) -> None:
    info = client.info()
    assert info["name"] == "served"
    assert info["device"] == "MOTOR"
    assert info["freedom"] == 2
    assert "GET" in info["capabilities"]


def test_get_returns_the_data(server: ServerLHC, client: ClientLHC) -> None:
    assert client.get() == {"x": 1.5}
    server.set_data({"positions": [1, 2.5], "name": "é€😀"}, copy=True)
    assert client.get() == {"positions": [1, 2.5], "name": "é€😀"}


COMMANDS: list[tuple[str, tuple[Any, ...], str, Any]] = [
    ("set", ([1.5, 2],), "position_changed", [1.5, 2]),
    ("set", ({"0": 2.5},), "position_changed", {"0": 2.5}),
    ("save", ("/data/run 1",), "saving_path_changed", "/data/run 1"),
    ("save", (pathlib.PurePosixPath("/data"),), "saving_path_changed", "/data"),
    ("opt", ({"gain": 3},), "opt", {"gain": 3}),
    ("set_actuators", ({"stage": [0, 1]},), "set_actuators", {"stage": [0, 1]}),
    ("set_diagnostics", ({"camera": 1},), "set_diagnostics", {"camera": 1}),
    ("update_actuator_positions", ({"s": 1.0},), "update_actuator_positions", {"s": 1.0}),
    ("toggle_saving", (True,), "saving_status_toggled", True),
    ("toggle_saving", (False,), "saving_status_toggled", False),
]


@pytest.mark.parametrize(("method", "arguments", "callback", "expected"), COMMANDS)
def test_commands_reach_their_callbacks(
    server: ServerLHC,
    client: ClientLHC,
    method: str,
    arguments: tuple[Any, ...],
    callback: str,
    expected: Any,
) -> None:
    seen: list[Any] = []
    getattr(server, f"set_on_{callback}")(seen.append)
    assert getattr(client, method)(*arguments) is None
    assert seen == [expected]


def test_scan_sends_the_whole_message(server: ServerLHC, client: ClientLHC) -> None:
    seen: list[Any] = []
    server.set_on_scan(seen.append)
    client.scan({"step": 3})
    assert seen[0]["payload"] == {"data": {"step": 3}}
    assert seen[0]["from"] == "asker"


def test_request_sends_any_command(server: ServerLHC, client: ClientLHC) -> None:
    server.register_handler("ADD", lambda server, message, target: message["payload"])
    assert client.request("ADD", {"a": 1}) == {"a": 1}
    with pytest.raises(errors.RemoteError, match="Unknown command") as caught:
        client.request("NOPE")
    assert (caught.value.cmd, caught.value.address) == ("NOPE", client.address)
    # The connection is as good as before.
    assert client.get() == {"x": 1.5}


def test_missing_payload_is_a_remote_error(client: ClientLHC) -> None:
    with pytest.raises(errors.RemoteError) as caught:
        client.request("SET")
    assert caught.value.error_msg == "Payload missing keys: ['positions']."
    assert str(caught.value) == caught.value.error_msg


def test_stop_server(server: ServerLHC, client: ClientLHC) -> None:
    client.stop_server()
    server.join(LIMIT_S)
    assert not server.is_alive()


def test_stop_not_permitted() -> None:
    with make_server(remote_stop=False) as server, ClientLHC(address_of(server)) as client:
        with pytest.raises(errors.RemoteError, match="not permitted"):
            client.stop_server()
        assert client.get() == {"x": 1.5}


def test_nan_comes_from_the_real_server(server: ServerLHC, client: ClientLHC) -> None:
    server.set_data({"v": [math.nan, math.inf, -math.inf, 2**70]}, copy=True)
    values = client.get()["v"]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, 2**70]


# -- what goes out


def sent(positions: Any) -> Any:
    """Return what a server finds under ``positions`` after ``set(positions)``."""
    with talking(echo) as (server, client):
        client.set(positions)
        return server.received.get(timeout=LIMIT_S)["payload"]["positions"]


def test_envelope() -> None:
    with ScriptedServer(echo) as server:
        with ClientLHC(server.address, name="é", timeout_s=LIMIT_S) as client:
            client.request("CMD", {"a": None})
        message = server.received.get(timeout=LIMIT_S)
    assert list(message) == ["from", "to", "cmd", "payload", "version", "error_msg", "msg"]
    assert message["from"] == "é"
    assert message["version"] == "0.2.2"
    assert message["payload"] == {"a": None}


class Kind(str, enum.Enum):
    STAGE = "stage"


class Axis(enum.IntEnum):
    Y = 1


class Level(enum.Enum):
    HIGH = numpy.float32(2.5)


class Levels(enum.Enum):
    # Of its own: before Python 3.11 members are compared with one another.
    BOTH = (1, 2)


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = None


DAY = datetime.date(2026, 1, 2)
MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
KEY = uuid.UUID(int=3)

# What servers take as data, too.
VALUES: list[tuple[Any, Any]] = [
    (numpy.longdouble(1.5), 1.5),
    ([numpy.longdouble(1.5), {"a": numpy.longdouble(2)}], [1.5, {"a": 2.0}]),
    (numpy.array([[1.5], [2.5]], numpy.longdouble), [[1.5], [2.5]]),
    (numpy.clongdouble(1 + 2j), [1.0, 2.0]),
    (numpy.array([1 + 2j], numpy.clongdouble), [[1.0, 2.0]]),
    (1 + 2j, [1.0, 2.0]),
    ([numpy.complex64(2j)], [[0.0, 2.0]]),
    (numpy.array([[1j, 2]]), [[[0.0, 1.0], [2.0, 0.0]]]),
    ({3}, [3]),
    ([frozenset({"a"}), {(1, 2)}], [["a"], [[1, 2]]]),
    ([MOMENT, DAY, datetime.time(1, 2)], ["2026-01-02T03:04:05+00:00", "2026-01-02", "01:02:00"]),
    ([KEY, decimal.Decimal("1.50")], [str(KEY), 1.5]),
    ([Kind.STAGE, Axis.Y, Level.HIGH, Levels.BOTH], ["stage", 1, 2.5, [1, 2]]),
    (Point(1, [Point(Kind.STAGE)]), {"x": 1, "y": [{"x": "stage", "y": None}]}),
    (numpy.datetime64("2026-01-02T03:04:05.123456789"), "2026-01-02T03:04:05.123456789"),
    (numpy.array(["2026-01-02", "NaT"], "M8[D]"), ["2026-01-02", "NaT"]),
    (numpy.array([{"a": {1}}], object), [{"a": [1]}]),
    (numpy.ma.array([1.5, 2.5], mask=[False, True]), [1.5, None]),
    (numpy.ma.array([1, 2], numpy.longdouble, mask=[True, False]), [None, 2.0]),
    (numpy.ma.array(["2026-01-02"] * 2, "M8[D]", mask=[0, 1]), ["2026-01-02", None]),
    ([numpy.ma.masked], [None]),
    ({Kind.STAGE: 1, Axis.Y: 2, Level.HIGH: 3}, {"stage": 1, "1": 2, "2.5": 3}),
    ({None: 1, True: 2, 1.5: 3, math.nan: 4}, {"null": 1, "true": 2, "1.5": 3, "NaN": 4}),
    ({DAY: 1, KEY: 2, pathlib.PurePosixPath("/p"): 3}, {"2026-01-02": 1, str(KEY): 2, "/p": 3}),
    ({numpy.longdouble(0.5): {numpy.datetime64(DAY): {1}}}, {"0.5": {"2026-01-02": [1]}}),
]
if hasattr(numpy.dtypes, "StringDType"):
    VALUES.append((numpy.array(["a", "b"], numpy.dtypes.StringDType()), ["a", "b"]))


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([2**70, -(2**63) - 1], [2**70, -(2**63) - 1]),
        ((1, 2), [1, 2]),
        (numpy.array([1.5, 2.0]), [1.5, 2.0]),
        ([numpy.float32(0.5), numpy.int64(3), numpy.bool_(True)], [0.5, 3, True]),
        (numpy.array(4), 4),
        ({numpy.int64(1): numpy.float64(2.5)}, {"1": 2.5}),
        ({0: [{numpy.uint8(1): 2}]}, {"0": [{"1": 2}]}),
        ({"a": pathlib.PurePosixPath("/p")}, {"a": "/p"}),
        *VALUES,
    ],
)
def test_values_that_can_be_sent(positions: Any, expected: Any) -> None:
    received = sent(positions)
    assert received == expected
    assert str(received) == str(expected)


def test_nan_is_sent_as_nan() -> None:
    values = sent([math.nan, math.inf, numpy.float32("nan"), decimal.Decimal("nan")])
    assert math.isnan(values[0])
    assert values[1] == math.inf
    assert math.isnan(values[2])
    assert math.isnan(values[3])
    (pair,) = sent(numpy.array([complex(math.nan, 2)]))
    assert math.isnan(pair[0])
    assert pair[1] == 2


def test_clients_write_what_servers_write(server: ServerLHC, client: ClientLHC) -> None:
    """As data of a server and as positions of a client a value becomes the same."""
    server.register_handler("ECHO", lambda server, message, target: message["payload"])
    for value, _ in VALUES:
        try:
            server.set_data({"v": value}, copy=True)
        except TypeError:
            continue  # some servers take fewer kinds
        assert str(client.request("ECHO", {"v": value})) == str(client.get())


@pytest.mark.parametrize(
    ("positions", "place"),
    [
        (b"x", "payload['positions']: a bytes cannot"),
        ([1, {"a": (2, object())}], "payload['positions'][1]['a'][1]: a object cannot"),
        ([[...]], "payload['positions'][0][0]: a ellipsis cannot"),
        ({"a": {(1, 2): 3}}, "payload['positions']['a']: a key of type"),
        ({b"a": 3}, "payload['positions']: a bytes cannot"),
        ({1j: 3}, "payload['positions']: a key of type"),
        (Point([bytearray(b"x")]), "payload['positions']['x'][0]"),
        (numpy.array([b"x"]), "payload['positions'][0]: a bytes cannot"),
        (numpy.timedelta64(3, "ns"), "payload['positions']: a NumPy timedelta64[ns] cannot"),
        ([numpy.array([3], "m8[s]")], "payload['positions'][0]: a NumPy timedelta64[s] cannot"),
        ([decimal.Decimal("sNaN")], "payload['positions'][0]: cannot convert"),
        ({Axis.Y: Point}, "payload['positions'][<Axis.Y: 1>]: a type cannot"),
    ],
    ids=str,
)
def test_values_that_cannot_be_sent(positions: Any, place: str) -> None:
    with talking(echo) as (server, client):
        with pytest.raises(TypeError) as caught:
            client.set(positions)
        assert str(caught.value).startswith(place)
        client.request("NEXT")
        assert server.received.get(timeout=LIMIT_S)["cmd"] == "NEXT"
        assert server.received.empty()


def test_a_value_that_contains_itself_is_refused(client: ClientLHC) -> None:
    endless: list[Any] = []
    endless.append(endless)
    point = Point(1)
    point.y = {point.x: point}
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    for value in (endless, point, {(): endless}, deep):
        with pytest.raises((ValueError, TypeError), match=r"[Cc]ircular|a key of type"):
            client.set(value)
    while isinstance(deep, list):  # at once, its end would recurse
        deep = deep.pop()


def test_names_of_an_enumeration(server: ServerLHC) -> None:
    seen: list[Any] = []
    server.register_handler("stage", lambda server, message, target: seen.append(message))
    with ClientLHC(address_of(server), name=Kind.STAGE, timeout_s=LIMIT_S) as client:
        assert (client.name, type(client.name)) == ("stage", str)
        client.request(Kind.STAGE)
    assert (seen[0]["from"], seen[0]["cmd"]) == ("stage", "stage")


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, pickle.dumps, lambda one: dataclasses.asdict(Point(one))]
)
def test_copies_are_refused(copied: Callable[[Any], Any], server: ServerLHC) -> None:
    server.declare_stream("s")
    with ClientLHC(address_of(server), timeout_s=LIMIT_S) as client, client.subscribe("s") as s:
        for one in (client, s):
            with pytest.raises(TypeError, match="make one where it is needed"):
                copied(one)
        gc.collect()
        assert client.get() == {"x": 1.5}
        server.publish("s", {"n": 1})
        assert s.next(LIMIT_S).data == {"n": 1}


# -- what comes back


def fetched(body: bytes) -> Any:
    """Return what ``get`` makes of a reply whose data is the JSON ``body``."""
    whole = b'{"from":"s","to":"c","cmd":"GET","payload":{"data":{"v":%s}},"error_msg":null}' % body
    with talking(lambda message: [whole]) as (_, client):
        return client.get()["v"]


FILLER = b"[" + b",".join(b"%r" % (n / 7) for n in range(3000)) + b"]"


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize(
    "text",
    [
        b"18446744073709551615",
        b"18446744073709551616",
        b"-9223372036854775808",
        b"-9223372036854775809",
        b"123456789012345678901234567890",
        b"1e300",
        b"1e400",
        b"-1.5e-400",
        b"0.12345678901234567890123",
        b"12345678901234567890.5",
        b"[1, 123456789012345678901234567890]",
        b'{"a": [[-123456789012345678901234567890, "b"]]}',
        b"NaN",
        b"-Infinity",
        b'"\\ud800"',
        b'"18446744073709551616"',
        b"[" * 300 + b"18446744073709551616" + b"]" * 300,
        b"[" * 900 + b"1" + b"]" * 900,
    ],
)
def test_replies_are_read_as_json_reads_them(text: bytes, large: bool) -> None:
    body = b"[%s,%s]" % (text, FILLER) if large else text
    assert repr(fetched(body)) == repr(json.loads(body))


BAD_REPLIES: list[Any] = [
    b"",
    b"nonsense",
    b"\xff\xfe",
    b"[]",
    b"null",
    b'{"error_msg": null}',
    b'{"payload": ' + b"1" * 5000 + b"}",
    b'{"payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    [b'{"payload": {}}', b""],
]


@pytest.mark.parametrize("reply", BAD_REPLIES, ids=range(len(BAD_REPLIES)))
def test_bad_replies(reply: Any) -> None:
    replies = [reply]

    def answer(message: dict[str, Any]) -> list[Any]:
        return [replies.pop()] if replies else echo(message)

    with talking(answer) as (_, client):
        with pytest.raises(errors.InvalidReply) as caught:
            client.request("CMD")
        assert len(str(caught.value)) < 500
        assert client.request("CMD", {"fine": True}) == {"fine": True}


@pytest.mark.parametrize("payload", [[], None, 3, {"data": 3}, {}])
def test_get_wants_a_dict(payload: Any) -> None:
    def answer(message: dict[str, Any]) -> list[Any]:
        return [reply_to(message) | {"payload": payload}]

    with talking(answer) as (_, client), pytest.raises(errors.InvalidReply):
        client.get()


@pytest.mark.parametrize(
    ("error_msg", "kind", "text"),
    [
        ("It hurts.", errors.RemoteError, "It hurts."),
        ("", errors.RemoteError, ""),
        ({"code": 3}, errors.RemoteError, '{"code": 3}'),
        (False, errors.RemoteError, "false"),
        (
            "Protocol version mismatch: expected 0.2.1, got 0.2.2.",
            errors.VersionMismatch,
            "Protocol version mismatch: expected 0.2.1, got 0.2.2.",
        ),
    ],
)
def test_error_replies(error_msg: Any, kind: type[Exception], text: str) -> None:
    def answer(message: dict[str, Any]) -> list[Any]:
        return [reply_to(message, error_msg=error_msg)]

    with talking(answer) as (_, client), pytest.raises(errors.RemoteError) as caught:
        client.ping()
    assert type(caught.value) is kind
    assert str(caught.value) == text


# -- time-outs


def test_timeout_is_kept_and_told() -> None:
    address = unused_address()
    with ClientLHC(address, timeout_s=0.05) as client:
        start = time.monotonic()
        with pytest.raises(errors.RequestTimeout) as caught:
            client.get()
        assert 0.05 <= time.monotonic() - start < LIMIT_S
        assert (caught.value.cmd, caught.value.address) == ("GET", address)
        assert caught.value.timeout_s == 0.05
        assert caught.value.reason == "nobody listens there"
        assert str(caught.value) == (
            f"No answer from {address} to GET within 0.05 s: nobody listens there."
        )
        with pytest.raises(TimeoutError):
            client.ping(timeout_s=0.01)


def test_who_listens_and_does_not_answer_is_not_called_nobody() -> None:
    with talking(silence) as (server, client):
        for _ in range(2):
            with pytest.raises(errors.RequestTimeout) as caught:
                client.get(timeout_s=0.1)
            assert caught.value.reason is None
            assert str(caught.value) == f"No answer from {server.address} to GET within 0.1 s."


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_timeout_is_kept_when_signals_keep_coming() -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        with ClientLHC(unused_address()) as client:
            start = time.monotonic()
            with pytest.raises(errors.RequestTimeout):
                client.get(timeout_s=0.2)
            assert 0.2 <= time.monotonic() - start < LIMIT_S
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_late_answer_is_not_taken_for_another() -> None:
    def answer(message: dict[str, Any]) -> list[Any]:
        reply = reply_to(message, message["payload"])
        return [(reply,)] if message["payload"]["n"] == 1 else [reply]

    with talking(answer) as (server, client):
        client.request("ECHO", {"n": 0})
        with pytest.raises(errors.RequestTimeout):
            client.request("ECHO", {"n": 1}, timeout_s=0.2)
        server.send_late_answers()
        for n in range(2, 20):
            assert client.request("ECHO", {"n": n}) == {"n": n}


def test_an_answer_sent_twice_is_taken_once() -> None:
    with talking(lambda message: echo(message) * 3) as (_, client):
        for n in range(20):
            assert client.request("ECHO", {"n": n}) == {"n": n}


def test_nothing_is_sent_twice() -> None:
    quiet = threading.Event()
    with talking(lambda m: silence(m) if quiet.is_set() else echo(m)) as (server, client):
        client.request("FIRST")  # so that no time is needed to connect
        quiet.set()
        with pytest.raises(errors.RequestTimeout):
            client.set([1], timeout_s=0.3)
        quiet.clear()
        client.request("LAST")
        seen = [server.received.get(timeout=LIMIT_S)["cmd"] for _ in range(3)]
        assert seen == ["FIRST", "SET", "LAST"]
        assert server.received.empty()


def test_a_request_that_timed_out_never_arrives_later() -> None:
    address = unused_address()
    with ClientLHC(address) as client:
        with pytest.raises(errors.RequestTimeout):
            client.set([1], timeout_s=0.05)
        with ScriptedServer(echo, address) as server:
            client.request("LATER", timeout_s=LIMIT_S)
            assert server.received.get(timeout=LIMIT_S)["cmd"] == "LATER"
            assert server.received.empty()


# -- restarts


def test_restart_on_the_same_port() -> None:
    with make_server() as first:
        address = address_of(first)
        with ThreadPoolExecutor(4) as threads, ClientLHC(address, timeout_s=LIMIT_S) as client:
            # Several idle connections, all of which have to find the new server.
            for _ in range(8):
                threads.submit(client.get)
            assert client.get() == {"x": 1.5}
            first.stop()

            def get_again() -> Any:
                # A request written to the old connection before its end was seen is lost.
                with suppress(errors.RequestTimeout):
                    return client.get(timeout_s=1.0)
                return client.get()

            with make_server(address, data={"x": 2.5}):
                for future in [threads.submit(get_again) for _ in range(16)]:
                    assert future.result(2 * LIMIT_S) == {"x": 2.5}


def test_server_that_dies_with_a_request_under_way() -> None:
    with ScriptedServer(lambda m: silence(m) if m["cmd"] == "SET" else echo(m)) as first:
        address = first.address
        with ThreadPoolExecutor(1) as threads, ClientLHC(address) as client:
            client.request("FIRST", timeout_s=LIMIT_S)
            waiting = threads.submit(client.set, [1], timeout_s=1.0)
            while first.received.get(timeout=LIMIT_S)["cmd"] != "SET":
                pass
            first.__exit__()
            with ScriptedServer(echo, address) as second:
                with pytest.raises(errors.RequestTimeout):
                    waiting.result(LIMIT_S)
                assert client.request("ECHO", {"n": 2}, timeout_s=LIMIT_S) == {"n": 2}
                # Nobody sent the SET again.
                assert second.received.get(timeout=LIMIT_S)["cmd"] == "ECHO"
                assert second.received.empty()


# -- threads and ends


def test_threads_share_a_client() -> None:
    with talking(echo) as (_, client):

        def ask(worker: int) -> list[Any]:
            return [client.request("ECHO", {"n": [worker, n]})["n"] for n in range(100)]

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(ask, range(8)))
    assert answers == [[[worker, n] for n in range(100)] for worker in range(8)]


def test_many_requests_at_once_leave_few_connections() -> None:
    barrier = threading.Barrier(50)
    with talking(echo) as (_, client):

        def ask(worker: int) -> None:
            barrier.wait(LIMIT_S)
            for _ in range(3):
                client.request("ECHO")

        with ThreadPoolExecutor(50) as threads:
            list(threads.map(ask, range(50)))
        pool = client._pool
        assert pool is not None
        assert 1 <= len(pool.idle) <= 32
        assert not pool.under_way


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever waits for one gets it."""
    opened: list[Any] = []

    class Counted(connections.Connection):
        def __init__(self, *arguments: Any) -> None:
            opened.append(self)
            super().__init__(*arguments)

        def close(self) -> None:
            opened.remove(self)
            super().close()

    monkeypatch.setattr(connections, "Connection", Counted)
    barrier = threading.Barrier(150)
    most = 0

    def ask(client: ClientLHC) -> Any:
        nonlocal most
        barrier.wait(LIMIT_S)
        answer = client.request("ECHO", {"n": 1})
        most = max(most, len(opened))
        return answer

    with talking(echo) as (_, client):
        with ThreadPoolExecutor(150) as threads:
            assert list(threads.map(ask, [client] * 150)) == [{"n": 1}] * 150
        assert 1 <= most <= 64
        assert client._pool is not None
        assert client._pool.in_use == client._pool.waiting == {}
        assert len(opened) == len(client._pool.idle) <= 32
    assert opened == []


def test_waiting_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    with ScriptedServer(silence) as server, ThreadPoolExecutor(5) as threads:
        client = ClientLHC(server.address, timeout_s=3600)
        asking = [threads.submit(client.get) for _ in range(2)]
        for _ in asking:
            server.received.get(timeout=LIMIT_S)
        begun = time.monotonic()
        with pytest.raises(errors.RequestTimeout, match="using all 2 connections") as caught:
            client.get(timeout_s=0.2)
        assert 0.2 <= time.monotonic() - begun < LIMIT_S
        assert caught.value.reason == "other requests were using all 2 connections of this client"
        asking += [threads.submit(client.get) for _ in range(3)]
        assert client._pool is not None
        while len(client._pool.under_way) < 5:
            threading.Event().wait(0.001)
        begun = time.monotonic()
        client.close()
        for each in asking:
            with pytest.raises(errors.ClientClosed):
                each.result(LIMIT_S)
        assert time.monotonic() - begun < within(0.4)  # no wait goes on to its next look


@pytest.mark.skipif(sys.platform == "win32", reason="signals to this process")
def test_a_signal_handler_asks_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the request that it interrupts waits for a connection."""
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 1)
    answers: list[Any] = []
    with ScriptedServer(lambda m: silence(m) if m["cmd"] == "GET" else echo(m)) as server:
        with ThreadPoolExecutor(2) as threads:
            client = ClientLHC(server.address, timeout_s=3600)
            other = ClientLHC(server.address, timeout_s=LIMIT_S)

            def handle(*_: Any) -> None:
                answers.append(other.request("ECHO", {"n": 1}))
                client.close()

            def interrupt() -> None:
                assert client._pool is not None
                while len(client._pool.under_way) < 2:
                    threading.Event().wait(0.001)
                os.kill(os.getpid(), signal.SIGUSR1)

            holding = threads.submit(client.get)
            assert server.received.get(timeout=LIMIT_S)["cmd"] == "GET"
            before = signal.signal(signal.SIGUSR1, handle)
            try:
                interrupting = threads.submit(interrupt)
                with pytest.raises(errors.ClientClosed):
                    client.get()
                interrupting.result(LIMIT_S)
            finally:
                signal.signal(signal.SIGUSR1, before)
            with pytest.raises(errors.ClientClosed):
                holding.result(LIMIT_S)
            other.close()
    assert answers == [{"n": 1}]


def test_closed_client(client: ClientLHC) -> None:
    client.get()
    assert not client.closed
    client.close()
    client.close()
    assert client.closed
    assert "closed" in repr(client)
    with pytest.raises(errors.ClientClosed):
        client.get()
    with pytest.raises(errors.ClientClosed), client:
        pass


def test_close_wakes_requests_of_other_threads() -> None:
    with ScriptedServer(silence) as server, ThreadPoolExecutor(3) as threads:
        client = ClientLHC(server.address, timeout_s=3600)
        waiting = [threads.submit(client.get) for _ in range(3)]
        for _ in waiting:
            server.received.get(timeout=LIMIT_S)
        closing = [threading.Thread(target=client.close) for _ in range(3)]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(LIMIT_S)
        for future in waiting:
            with pytest.raises(errors.ClientClosed):
                future.result(LIMIT_S)


@pytest.mark.skipif(sys.platform == "win32", reason="signals to this process")
def test_close_in_a_signal_handler_ends_the_request_it_interrupted() -> None:
    with ScriptedServer(silence) as server, ThreadPoolExecutor(1) as threads:
        client = ClientLHC(server.address, timeout_s=3600)

        def interrupt() -> None:
            server.received.get(timeout=LIMIT_S)
            os.kill(os.getpid(), signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, lambda *_: client.close())
        try:
            interrupting = threads.submit(interrupt)
            with pytest.raises(errors.ClientClosed):
                client.get()
            interrupting.result(LIMIT_S)
        finally:
            signal.signal(signal.SIGUSR1, before)


def test_close_races_with_requests() -> None:
    with ScriptedServer(echo) as server, ThreadPoolExecutor(4) as threads:
        for _ in range(50):
            client = ClientLHC(server.address, timeout_s=LIMIT_S)
            barrier = threading.Barrier(5)

            def ask(client: ClientLHC = client, barrier: threading.Barrier = barrier) -> bool:
                barrier.wait(LIMIT_S)
                try:
                    while True:
                        client.request("ECHO")
                except errors.ClientClosed:
                    return True

            asking = [threads.submit(ask) for _ in range(4)]
            barrier.wait(LIMIT_S)
            client.close()
            assert all(future.result(LIMIT_S) for future in asking)


def test_nothing_is_left_behind() -> None:
    with ScriptedServer(silence) as server, ThreadPoolExecutor(1) as threads:
        threads.submit(int).result(LIMIT_S)
        before = native_threads()
        for _ in range(10):
            client = ClientLHC(server.address, timeout_s=LIMIT_S)
            waiting = threads.submit(client.get)
            server.received.get(timeout=LIMIT_S)
            client.close()
            with pytest.raises(errors.ClientClosed):
                waiting.result(LIMIT_S)
        deadline = time.monotonic() + LIMIT_S
        while native_threads() > before + OWN_THREADS and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert native_threads() <= before + OWN_THREADS


def test_an_unclosed_client_warns(server: ServerLHC) -> None:
    client = ClientLHC(address_of(server), timeout_s=LIMIT_S)
    client.get()
    holder = [client]
    del client
    with pytest.warns(ResourceWarning, match="was not closed"):
        holder.clear()
    gc.collect()


def test_a_refused_client_is_collected_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="tcp"):
            ClientLHC("nowhere")
        gc.collect()


def run_script(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "dev", "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


FORK_SCRIPT = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from laplace_server.client import ClientLHC
with ClientLHC(sys.argv[1], timeout_s=20) as client, ClientLHC(sys.argv[1]) as closed:
    closed.close()
    client.get()
    child = os.fork()
    if not child:
        status = 1
        try:
            for _ in range(5):
                client.get()
            client.close()
            status = 0 if client.closed and closed.closed else 2
        finally:
            os._exit(status)
    for _ in range(5):
        client.get()
    _, status = os.waitpid(child, 0)
    client.get()
    print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child that opens connections")
def test_a_forked_child_has_connections_of_its_own(server: ServerLHC) -> None:
    done = run_script(FORK_SCRIPT, address_of(server))
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)


EXIT_SCRIPT = """
import sys, threading
from laplace_server.client import ClientLHC
client = ClientLHC(sys.argv[1], timeout_s=3600)
client.ping()
threading.Thread(target=client.request, args=["SILENT"], daemon=True).start()
sys.stdin.readline()
print("end")
"""


def test_a_process_ends_with_a_request_under_way() -> None:
    answer = {"PING": echo, "SILENT": silence}
    with ScriptedServer(lambda message: answer[message["cmd"]](message)) as server:
        command = [sys.executable, "-c", EXIT_SCRIPT, server.address]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            while server.received.get(timeout=LIMIT_S)["cmd"] != "SILENT":
                pass
            output, _ = process.communicate(b"\n", timeout=LIMIT_S)
    assert output.split() == [b"end"]
    assert process.returncode == 0


# -- arrays


def with_arrays(data: Any, *arrays: Any, paths: list[Any]) -> Callable[[Any], list[Any]]:
    """Answer GET ARRAYS as servers do: null in the place of each array, its bytes in a frame."""
    described = [
        {"path": path, "dtype": array.dtype.str, "shape": array.shape}
        for path, array in zip(paths, arrays, strict=True)
    ]
    frames = [array.tobytes() for array in arrays]

    def answer(message: dict[str, Any]) -> list[Any]:
        assert (message["cmd"], message["payload"]) == ("GET ARRAYS", {})
        reply = reply_to(message, {"data": data, "arrays": described})
        return [[json.dumps(reply).encode(), *frames]]

    return answer


def test_get_with_arrays_in_place() -> None:
    image = numpy.arange(60_000, dtype="<u2").reshape(200, 300)
    spectrum = numpy.array([1.5, math.nan])
    data = {"image": None, "axes": [{"x": 1}, {"spectrum": None}], "none": None}
    paths = [["image"], ["axes", 1, "spectrum"]]
    with talking(with_arrays(data, image, spectrum, paths=paths)) as (_, client):
        found = client.get(arrays=True)
    assert found["none"] is None
    assert found["axes"][0] == {"x": 1}
    for array, wanted in ((found["image"], image), (found["axes"][1]["spectrum"], spectrum)):
        assert array.dtype == wanted.dtype
        assert numpy.array_equal(array, wanted, equal_nan=wanted is spectrum)
        assert not array.flags.writeable
    assert not found["image"].flags.owndata


def test_get_with_arrays_of_a_server(server: ServerLHC) -> None:
    image = numpy.arange(60_000, dtype=">u2").reshape(200, 300)
    server.set_data({"image": image, "list": [numpy.float32([1.5]), {"x": 10**30}], "n": 1})
    with ClientLHC(address_of(server), timeout_s=LIMIT_S) as client:
        found = client.get(arrays=True)
        assert client.get()["n"] == 1
    assert found["image"].dtype == image.dtype
    assert numpy.array_equal(found["image"], image)
    assert found["list"][0].dtype == "f4"
    assert (found["list"][1], found["n"]) == ({"x": 10**30}, 1)


def test_get_with_arrays_where_there_are_none() -> None:
    with talking(with_arrays({"x": [1, 2]}, paths=[])) as (_, client):
        assert client.get(arrays=True) == {"x": [1, 2]}


@pytest.mark.parametrize(
    "frames",
    [
        [{"data": {"a": None}, "arrays": [{"path": ["a"], "dtype": "<f8", "shape": [1]}]}],
        [{"data": {"a": None}, "arrays": [{"path": ["b", 1], "dtype": "<f8", "shape": [1]}]}, 8],
        [{"data": {"a": None}, "arrays": [{"path": [], "dtype": "<f8", "shape": [1]}]}, 8],
        [{"data": {"a": None}, "arrays": [{"path": ["a"], "dtype": "<f8", "shape": [2]}]}, 8],
        [{"data": {"a": None}, "arrays": [{"path": ["a"], "dtype": "O", "shape": [1]}]}, 8],
        [{"data": {"a": None}, "arrays": [{"path": ["a"], "dtype": "?!", "shape": [1]}]}, 8],
        [{"data": {"a": None}, "arrays": [5]}, 8],
        [{"data": {"a": None}, "arrays": []}, 8],
        [{"data": {"a": None}, "arrays": 5}],
        [{"data": [], "arrays": []}],
        [{"data": {}}],
        [[]],
    ],
    ids=str,
)
def test_get_with_arrays_that_do_not_fit(frames: list[Any]) -> None:
    payload, *sizes = frames

    def answer(message: dict[str, Any]) -> list[Any]:
        body = json.dumps(reply_to(message, payload)).encode()
        return [[body, *(bytes(size) for size in sizes)]]

    with talking(answer) as (_, client), pytest.raises(errors.InvalidReply):
        client.get(arrays=True)


# -- arguments


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost:5555",
        "tcp://",
        "tcp://localhost",
        "tcp://localhost:",
        "tcp://localhost:*",
        "tcp://*:5555",
        "tcp://localhost:0",
        "tcp://localhost:65536",
        "tcp://localhost:5555/",
        "tcp://local host:5555",
        " tcp://localhost:5555",
        "tcp://localhost:5555\n",
        "tcp://::1:5555",
        "ipc://socket",
        "tcp://localhost:" + "9" * 5000,
    ],
)
def test_wrong_addresses(address: str) -> None:
    with pytest.raises(ValueError, match="tcp://host:port"):
        ClientLHC(address)


@pytest.mark.parametrize(
    "address",
    ["tcp://localhost:5555", "tcp://127.0.0.1:0089", "tcp://lab-pc_2.local:1", "tcp://[::1]:65535"],
)
def test_right_addresses(address: str) -> None:
    with ClientLHC(address) as client:
        assert client.address == address


def test_wrong_arguments(client: ClientLHC) -> None:
    with pytest.raises(TypeError, match="address"):
        ClientLHC(5555)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="name"):
        ClientLHC("tcp://localhost:5555", name=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="name"):
        ClientLHC("tcp://localhost:5555", name="")
    with pytest.raises(TypeError, match="cmd"):
        client.request(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cmd"):
        client.request("")
    with pytest.raises(TypeError, match="payload"):
        client.request("SET", [1])  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_wrong_timeouts(client: ClientLHC, seconds: float) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        ClientLHC("tcp://localhost:5555", timeout_s=seconds)
    with pytest.raises(ValueError, match="timeout_s"):
        client.get(timeout_s=seconds)
    with pytest.raises(TypeError, match="timeout_s"):
        client.get(timeout_s="soon")  # type: ignore[arg-type]
    assert client.get() == {"x": 1.5}


def test_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with (
        ScriptedServer(echo, "tcp://[::1]:*") as server,
        ClientLHC(server.address, timeout_s=LIMIT_S) as client,
    ):
        assert client.request("ECHO", {"n": 6}) == {"n": 6}


@pytest.mark.parametrize(
    "error",
    [
        errors.LaplaceError("text"),
        errors.RequestTimeout("GET", "tcp://a:1", 2.0),
        errors.RequestTimeout("GET", "tcp://a:1", 2.0, "nobody listens there"),
        errors.RemoteError("text", "GET", "tcp://a:1"),
        errors.VersionMismatch("text", "GET", "tcp://a:1"),
        errors.InvalidReply("text", "GET", "tcp://a:1"),
        errors.ClientClosed("text"),
        errors.ForkedServerError("text"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_pickle(error: errors.LaplaceError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert isinstance(copy, errors.LaplaceError)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


# -- against laplace-server 0.2.0

ORIGINAL_SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[1])
import zmq
from laplace_server import ServerLHC
until = time.monotonic() + 20
while True:
    try:
        server = ServerLHC("original", sys.argv[2], 2, "MOTOR", {"x": float("nan"), "big": 2**70})
        break
    except zmq.ZMQError:  # one that was killed may hold its port for a moment
        if time.monotonic() > until:
            raise
        time.sleep(0.05)
seen = []
server.set_on_position_changed(lambda p: time.sleep(3600) if p == ["sleep"] else seen.append(p))
server.set_on_get(lambda: server.set_data({"seen": seen} if seen else server.data))
server.start()
print("ready", flush=True)
"""


@pytest.fixture
def start_original() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    from original import require_original

    folder = require_original()
    processes: list[subprocess.Popen[str]] = []

    def start(address: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", ORIGINAL_SCRIPT, str(folder), address]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_original_answers(start_original: Callable[[str], subprocess.Popen[str]]) -> None:
    address = unused_address()
    process = start_original(address)
    with ClientLHC(address, timeout_s=LIMIT_S) as client:
        assert client.ping() > 0
        assert client.info()["name"] == "original"
        data = client.get()
        assert math.isnan(data["x"])
        assert data["big"] == 2**70
        client.set([1.5, None])
        client.set({"0": 2.5})
        assert client.get() == {"seen": [[1.5, None], {"0": 2.5}]}
        client.save("/data")
        client.opt({"a": 1})
        client.scan({"a": 1})
        client.set_actuators({"a": 1})
        client.set_diagnostics({"a": 1})
        client.update_actuator_positions({"a": 1})
        with pytest.raises(errors.RemoteError, match="Unknown command"):
            client.toggle_saving(True)
        assert client.request("PING") == {"PING": "PONG"}
        client.stop_server()
    assert process.wait(LIMIT_S) == 0


def test_original_killed_and_restarted(
    start_original: Callable[[str], subprocess.Popen[str]],
) -> None:
    address = unused_address()
    first = start_original(address)
    with ThreadPoolExecutor(1) as threads, ClientLHC(address, timeout_s=LIMIT_S) as client:
        client.get()
        waiting = threads.submit(client.set, ["sleep"], timeout_s=1.0)
        with pytest.raises(errors.RequestTimeout):
            # The original does not answer anybody while its callback runs.
            while True:
                client.ping(timeout_s=0.5)
        first.kill()
        first.wait(LIMIT_S)
        with pytest.raises(errors.RequestTimeout):
            waiting.result(LIMIT_S)
        start_original(address)
        assert client.ping() > 0
        client.set([1])
        assert client.get() == {"seen": [[1]]}
