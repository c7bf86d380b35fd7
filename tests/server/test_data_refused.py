"""What data may not hold: it is refused at the door, with the place."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import subprocess
import sys
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from typing import Any

import numpy as np
import pytest
from support.data_types import DEEPEST, Items, Pose, same
from support.isolated import environment
from support.peers import Connect
from support.serving import MakeServer

from laplace_server import ServerLHC


class Hostile(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise RuntimeError("no items today")


class Loud:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __hash__(self) -> int:
        return 1


def circle() -> dict[str, Any]:
    data: dict[str, Any] = {}
    data["again"] = [data]
    return data


def nested(levels: int, *, of: str = "list") -> dict[str, Any]:
    inner: Any = 1
    for _ in range(levels - 1):
        inner = [inner] if of == "list" else {"k": inner} if of == "dict" else (inner,)
    return {"deep": inner}


REFUSED: list[tuple[Any, str]] = [
    ({"a": object()}, "data['a']: a value of type object cannot be written as JSON"),
    ({"a": {"b": [0, {b"x"}]}}, "data['a']['b'][1][0]: a value of type bytes"),
    ({"a": (0, b"x")}, "data['a'][1]: a value of type bytes"),
    ({"a": bytearray(2)}, "data['a']: a value of type bytearray"),
    ({1: {2: deque()}}, "data[1][2]: a value of type deque"),
    ({"a": Pose(1.0, [b""])}, "data['a']['names'][0]: a value of type bytes"),  # type: ignore[list-item]
    ({"a": OrderedDict(b=b"")}, "data['a']['b']: a value of type bytes"),
    ({"a": Items([0, b""])}, "data['a'][1]: a value of type bytes"),
    ({"a": Pose}, "data['a']: a value of type type"),
    ({"a": len}, "data['a']: a value of type builtin_function_or_method"),
    ({"a": UserDict(b=1)}, "data['a']: a value of type UserDict"),
    ({"a": range(3)}, "data['a']: a value of type range"),
    ({"a": datetime.timedelta(1)}, "data['a']: a value of type timedelta"),
    ({(1, 2): 0}, "data: a key of type tuple"),
    ({"a": [{b"k": 0}]}, "data['a'][0]: a key of type bytes"),
    ({"a": np.array([b"x"])}, "data['a']: an array of |S1"),
    ({"a": np.zeros(2, "i4,f8")}, "data['a']: an array of [('f0'"),
    ({"a": np.array([1], "m8[s]")}, "data['a']: an array of timedelta64[s]"),
    ({"a": np.array([[0, b""]], dtype=object)}, "data['a'][0][1]: a value of type bytes"),
    ({"a": 10**5000}, "data['a']: Exceeds the limit"),
    ({"a": [1, np.bytes_(b"x")]}, "data['a'][1]: a value of type bytes"),
    (circle(), "nested deeper"),
    (nested(DEEPEST + 2), "nested deeper"),
]


# Found by trying: what raises something else than TypeError, or names no place.
REFUSED_TOO: list[tuple[Any, str]] = [
    ({"a": {10**5000: 0}}, "data['a']: Exceeds the limit"),
    ({"a": decimal.Decimal("sNaN")}, "data['a']"),
    ({"a": Hostile(b=1)}, "data['a']"),
    ({Loud(): 1}, "data"),
    ({"a": {Loud(): [b""]}}, "data['a']"),
    ({"a": np.timedelta64(1, "s")}, "data['a']: a value of type timedelta"),
    ({"a": np.timedelta64(1, "ns")}, "data['a']: a value of type timedelta64"),
]


@pytest.fixture(scope="module")
def server(transport: str) -> ServerLHC:
    """Bound but never started: enough to be given data."""
    return ServerLHC("types", "tcp://127.0.0.1:*", 1, "MOTOR")


@pytest.mark.parametrize(
    ("data", "place"), REFUSED + REFUSED_TOO, ids=[place for _, place in REFUSED + REFUSED_TOO]
)
def test_what_cannot_be_written_is_refused_at_the_door(
    server: ServerLHC, data: Any, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.set_data({"old": 1})
    with pytest.raises(TypeError) as caught:
        server.set_data(data, copy=True)
    assert place in str(caught.value)
    assert server.data == {"old": 1}
    assert server.stats().data_error is None

    # Without a copy it is told: a slot that raises would end a PyQt6 program.
    server.set_data(data)
    server.set_data(data)
    (told,) = [record.getMessage() for record in caplog.records if "data" in record.msg]
    assert place in told
    assert place in (server.stats().data_error or "")
    assert {id(value) for value in server.data.values()} == {id(value) for value in data.values()}
    server.set_data({"new": 1})
    assert server.stats().data_error is None


@pytest.mark.parametrize("data", [None, [], [("a", 1)], "a", 1, UserDict(a=1), object(), dict])
def test_data_that_is_no_dict_is_refused(server: ServerLHC, data: Any) -> None:
    server.set_data({"old": 1})
    for refuse in (lambda: server.set_data(data), lambda: server.set_data(data, copy=True)):
        with pytest.raises(TypeError, match="must be a dict"):
            refuse()
    assert server.data == {"old": 1}


def test_a_dict_subclass_is_a_dict(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(data=OrderedDict(a=1))
    client = connect(server)
    assert client.get() == {"a": 1}
    server.set_data(defaultdict(list, b=[math.nan]))
    assert same(client.get(), {"b": [math.nan]})
    server.set_data(Counter("aa"), copy=True)
    assert client.get() == {"a": 2}


@pytest.mark.parametrize("of", ["list", "dict", "tuple"])
def test_the_deepest_nesting_is_read(make_server: MakeServer, connect: Connect, of: str) -> None:
    server = make_server()
    server.set_data(nested(DEEPEST, of=of))
    assert json.dumps(connect(server).get()) == json.dumps(nested(DEEPEST, of=of))


def test_an_object_array_that_holds_itself_is_refused_not_followed() -> None:
    # Without a bound, the walk would end with the process: hence a process of its own.
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import numpy as np\n"
            "from laplace_server.server import _core\n"
            "a = np.empty((), dtype=object)\n"
            "a[()] = a\n"
            "try: _core.encode_json({'a': a})\n"
            "except TypeError as problem: print('refused', problem)\n",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
    )
    assert done.returncode == 0, f"status {done.returncode}"
    assert done.stdout.startswith("refused data")
