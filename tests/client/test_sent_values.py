"""What both clients put on the wire."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
import pathlib
import uuid
from typing import Any

import numpy
import pytest
from support.both_clients import Kind
from support.peers import PATIENCE_S, address_of
from support.scripted_server import ScriptedServer, answering, echo

from laplace_server import ServerLHC

# -- what goes out


def sent(talking: Any, positions: Any) -> Any:
    """Return what a server finds under ``positions`` after ``set(positions)``."""
    with talking(echo) as (server, client):
        client.set(positions)
        return server.hear_json()["payload"]["positions"]


def test_envelope(kind: Kind) -> None:
    with ScriptedServer(answering(echo)) as server:
        with kind(server.address, name="é", timeout_s=PATIENCE_S) as client:
            client.request("CMD", {"a": None})
        message = server.hear_json()
    assert list(message) == ["from", "to", "cmd", "payload", "version", "error_msg", "msg"]
    assert message["from"] == "é"
    assert message["version"] == "0.2.2"
    assert message["payload"] == {"a": None}


class Word(str, enum.Enum):
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
    ([Word.STAGE, Axis.Y, Level.HIGH, Levels.BOTH], ["stage", 1, 2.5, [1, 2]]),
    (Point(1, [Point(Word.STAGE)]), {"x": 1, "y": [{"x": "stage", "y": None}]}),
    (numpy.datetime64("2026-01-02T03:04:05.123456789"), "2026-01-02T03:04:05.123456789"),
    (numpy.array(["2026-01-02", "NaT"], "M8[D]"), ["2026-01-02", "NaT"]),
    (numpy.array([{"a": {1}}], object), [{"a": [1]}]),
    (numpy.ma.array([1.5, 2.5], mask=[False, True]), [1.5, None]),
    (numpy.ma.array([1, 2], numpy.longdouble, mask=[True, False]), [None, 2.0]),
    (numpy.ma.array(["2026-01-02"] * 2, "M8[D]", mask=[0, 1]), ["2026-01-02", None]),
    ([numpy.ma.masked], [None]),
    ({Word.STAGE: 1, Axis.Y: 2, Level.HIGH: 3}, {"stage": 1, "1": 2, "2.5": 3}),
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
def test_values_that_can_be_sent(talking: Any, positions: Any, expected: Any) -> None:
    received = sent(talking, positions)
    assert received == expected
    assert str(received) == str(expected)


def test_nan_is_sent_as_nan(talking: Any) -> None:
    values = sent(talking, [math.nan, math.inf, numpy.float32("nan"), decimal.Decimal("nan")])
    assert math.isnan(values[0])
    assert values[1] == math.inf
    assert math.isnan(values[2])
    assert math.isnan(values[3])
    (pair,) = sent(talking, numpy.array([complex(math.nan, 2)]))
    assert math.isnan(pair[0])
    assert pair[1] == 2


def test_clients_write_what_servers_write(server: ServerLHC, client: Any) -> None:
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
        (b"x", "payload['positions']: a value of type bytes cannot"),
        pytest.param(
            [1, {"a": (2, object())}],
            "payload['positions'][1]['a'][1]: a value of type object cannot",
            id="an object",  # its text differs from process to process
        ),
        ([[...]], "payload['positions'][0][0]: a value of type ellipsis cannot"),
        ({"a": {(1, 2): 3}}, "payload['positions']['a']: a key of type"),
        ({b"a": 3}, "payload['positions']: a value of type bytes cannot"),
        ({1j: 3}, "payload['positions']: a key of type"),
        (Point([bytearray(b"x")]), "payload['positions']['x'][0]"),
        (numpy.array([b"x"]), "payload['positions'][0]: a value of type bytes cannot"),
        (
            numpy.timedelta64(3, "ns"),
            "payload['positions']: a value of type NumPy timedelta64[ns] cannot",
        ),
        (
            [numpy.array([3], "m8[s]")],
            "payload['positions'][0]: a value of type NumPy timedelta64[s] cannot",
        ),
        ([decimal.Decimal("sNaN")], "payload['positions'][0]: cannot convert"),
        ({Axis.Y: Point}, "payload['positions'][<Axis.Y: 1>]: a value of type type cannot"),
    ],
    ids=str,
)
def test_values_that_cannot_be_sent(talking: Any, positions: Any, place: str) -> None:
    with talking(echo) as (server, client):
        with pytest.raises(TypeError) as caught:
            client.set(positions)
        assert str(caught.value).startswith(place)
        client.request("NEXT")
        assert server.hear_json()["cmd"] == "NEXT"
        assert server.bodies.empty()


def test_a_value_that_contains_itself_is_refused(client: Any) -> None:
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


def test_names_of_an_enumeration(kind: Kind, server: ServerLHC) -> None:
    seen: list[Any] = []
    server.register_handler("stage", lambda server, message, target: seen.append(message))
    with kind(address_of(server), name=Word.STAGE, timeout_s=PATIENCE_S) as client:
        assert (client.name, type(client.name)) == ("stage", str)
        client.request(Word.STAGE)
    assert (seen[0]["from"], seen[0]["cmd"]) == ("stage", "stage")
