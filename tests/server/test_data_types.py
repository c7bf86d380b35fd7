"""What values set_data takes, and what a client then reads with plain json."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import pathlib
import uuid
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.data_types import (
    Colour,
    East,
    Flags,
    Items,
    Number,
    PathOfBytes,
    Point,
    Pose,
    Real,
    Row,
    Slotted,
    Text,
    Whole,
    Word,
    as_read,
    same,
)
from support.isolated import run_script
from support.peers import Connect
from support.serving import MakeServer

from laplace_server.server import _core

UTC = datetime.timezone.utc


INFINITY, NAN = math.inf, math.nan


STANDARD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    2**63,
    2**64 - 1,
    2**64,
    -(2**63) - 1,
    10**300,
    1.5,
    -0.0,
    5e-324,
    1.7976931348623157e308,
    1e16,
    0.1,
    NAN,
    INFINITY,
    -INFINITY,
    "",
    "text",
    '\x00\x1f"\\/\u2028\u2029é€𝄞',
    "\ud800",
    "a\udfffb",
    [],
    {},
    [[[]]],
    [NAN, [INFINITY, {"deep": [-INFINITY]}], None],
    {"nested": {"nan": NAN, "list": [1, 2.0, "x"]}},
    {"": 0, "\ud801": [NAN, 2**70]},
    (),
    (1, (2, [3])),
    Point(1, 2.5),
    Row((1, 2)),
    Items([1, [2]]),
    OrderedDict(b=1, a=2),
    defaultdict(int, a=1),
    Counter("aab"),
    Text("text"),
    Whole(7),
    Whole(2**70),
    Real(1.25),
    Real(NAN),
    Number.TWO,
    Flags.A | Flags.B,
    Word.YES,
    {1: "int", 2.5: "float", False: "bool", None: "null", "s": "str"},
    {2**70: 0, NAN: 1, INFINITY: 2, -INFINITY: 3, -0.0: 4, 1e16: 5},
    {"1": "text", 1: "number"},
    {Text("key"): 1, Whole(3): 2},
    {Number.TWO: "enum"},
]


@pytest.mark.parametrize("value", STANDARD, ids=lambda value: ascii(value)[:40])
def test_standard_values_are_read_as_the_standard_library_writes_them(value: Any) -> None:
    assert same(as_read(value), json.loads(json.dumps(value)))


WHEN = datetime.datetime(2024, 2, 29, 12, 30, 15, 123456)


ID = uuid.UUID(int=2**100 + 5)


OTHERS: list[tuple[Any, Any]] = [
    (WHEN, "2024-02-29T12:30:15.123456"),
    (WHEN.replace(microsecond=0, tzinfo=UTC), "2024-02-29T12:30:15+00:00"),
    (WHEN.replace(tzinfo=East()), "2024-02-29T12:30:15.123456+02:00"),
    (WHEN.date(), "2024-02-29"),
    (WHEN.time(), "12:30:15.123456"),
    (WHEN.time().replace(tzinfo=East()), "12:30:15.123456+02:00"),
    (ID, str(ID)),
    (decimal.Decimal("1.5"), 1.5),
    (decimal.Decimal("NaN"), NAN),
    (decimal.Decimal("-Infinity"), -INFINITY),
    (Colour.RED, "red"),
    (Colour.PAIR, [1, 2]),
    (Pose(1.5, ["a"]), {"x": 1.5, "names": ["a"]}),
    (Pose(NAN, []), {"x": NAN, "names": []}),
    (Slotted(3), {"a": 3}),
    ([Pose(0.0, [Colour.RED]), (WHEN.date(),)], [{"x": 0.0, "names": ["red"]}, ["2024-02-29"]]),  # type: ignore[list-item]
    ({Colour.RED: 1, WHEN: 2, ID: 3}, {"red": 1, WHEN.isoformat(): 2, str(ID): 3}),
    ({np.int64(4): 1, np.float64(0.5): 2, np.str_("s"): 3}, {"4": 1, "0.5": 2, "s": 3}),
    (np.float64(0.1), 0.1),
    (np.float64(NAN), NAN),
    (np.float32(0.5), 0.5),
    (np.float32(-INFINITY), -INFINITY),
    (np.float16(0.5), 0.5),
    (np.longdouble(1.5), 1.5),
    (np.longdouble(NAN), NAN),
    (np.int8(-3), -3),
    (np.uint64(2**64 - 1), 2**64 - 1),
    (np.longlong(5), 5),
    (np.bool_(True), True),
    (np.str_("text"), "text"),
    (np.datetime64("2024-02-29T12:30:15"), "2024-02-29T12:30:15"),
    (pathlib.PurePosixPath("/data/run 1"), "/data/run 1"),
    (pathlib.PureWindowsPath("D:/data"), "D:\\data"),
    (PathOfBytes(), "/data"),
    ({pathlib.PurePosixPath("/a"): 1}, {"/a": 1}),
    ({decimal.Decimal("1.5"): 1}, {"1.5": 1}),
    ({7}, [7]),
    (frozenset([Colour.RED]), ["red"]),
    ({(1, NAN)}, [[1, NAN]]),
    (set(), []),
    ([{1.5}, {"a": {None}}], [[1.5], {"a": [None]}]),
    (1 - 2j, [1.0, -2.0]),
    (complex(NAN, -INFINITY), [NAN, -INFINITY]),
    (np.complex64(1j), [0.0, 1.0]),
    (np.complex128(2 + 1j), [2.0, 1.0]),
    (np.clongdouble(2 + 1j), [2.0, 1.0]),
    ([1j, {"a": (2j,)}], [[0.0, 1.0], {"a": [[0.0, 2.0]]}]),
    (np.array(2 + 1j), [2.0, 1.0]),
    (np.array([1 + 2j, complex(NAN, 0)]), [[1.0, 2.0], [NAN, 0.0]]),
    (np.array([[1, 2j]], "c8"), [[[1.0, 0.0], [0.0, 2.0]]]),
    (np.array([[1, 2j]], ">c16").T, [[[1.0, 0.0]], [[0.0, 2.0]]]),
    (np.array([1 + 2j], np.clongdouble), [[1.0, 2.0]]),
    (np.zeros((0, 2), complex), []),
    (np.array([{1}, 2j, pathlib.PurePosixPath("p")], object), [[1], [0.0, 2.0], "p"]),
    (np.ma.masked_array([1j, 2], [True, False]), [None, [2.0, 0.0]]),
]


if hasattr(np.dtypes, "StringDType"):
    OTHERS += [
        (np.array(["shot", "é" * 40], np.dtypes.StringDType()), ["shot", "é" * 40]),
        (np.array([["a"], ["b"]], np.dtypes.StringDType()), [["a"], ["b"]]),
    ]


@pytest.mark.parametrize(("value", "read"), OTHERS, ids=lambda value: ascii(value)[:40])
def test_values_beyond_the_standard_library(value: Any, read: Any) -> None:
    assert same(as_read(value), read)


def test_a_nanosecond_time_is_read_like_the_same_time_in_an_array() -> None:
    when = np.datetime64("2024-02-29T12:30:15", "ns")
    assert as_read(when) == as_read(np.array([when]))[0] == "2024-02-29T12:30:15.000000000"


DTYPES = ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "g", "q", "Q"]


def grid(dtype: str, byte_order: Any = "=") -> np.ndarray[Any, Any]:
    values = (np.arange(24).reshape(4, 6) - (0 if dtype[0] in "ubQ" else 12)) * 0.5
    return values.astype(np.dtype(dtype).newbyteorder(byte_order))


LAYOUTS: dict[str, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    "contiguous": lambda a: a,
    "Fortran": np.asfortranarray,
    "transposed": lambda a: a.T,
    "strided": lambda a: a[::2, ::3],
    "reversed": lambda a: a[::-1, ::-1],
    "broadcast": lambda a: np.broadcast_to(a[0], (3, 6)),
    "3-d": lambda a: a.reshape(2, 2, 6)[:, :, 1:3],
    "0-d": lambda a: a[2, 3, ...],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype),
    "rows of none": lambda a: a[:, :0],
    "no rows": lambda a: a[:0],
    "empty in the middle": lambda a: a.reshape(2, 2, 6)[:, :0, :],
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_every_type_and_layout(dtype: str, byte_order: str, layout: str) -> None:
    array = LAYOUTS[layout](grid(dtype, byte_order))
    read = as_read(array)
    # All values of the grid are exact in every dtype.
    assert same(read, json.loads(json.dumps(array.astype(np.dtype(dtype)).tolist(), default=float)))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "g"])
def test_arrays_keep_nan_and_infinities(dtype: str) -> None:
    array = np.array([[0.5, NAN], [INFINITY, -INFINITY]], dtype)
    assert same(as_read(array), [[0.5, NAN], [INFINITY, -INFINITY]])
    assert same(as_read(np.full((2, 0), NAN, dtype)), [[], []])
    assert same(as_read(np.array(NAN, dtype)), NAN)


def test_floats_in_arrays_come_back_to_the_bit() -> None:
    rng = np.random.default_rng(1)
    for dtype in ("f4", "f8"):
        integers = rng.integers(0, 2**32, 4096, dtype="u4" if dtype == "f4" else "u8")
        array = integers.view(dtype)
        array = array[np.isfinite(array)]
        assert np.array_equal(np.array(as_read(array), dtype), array)


def test_odd_arrays() -> None:
    masked = np.ma.masked_array([1.0, 2.0, NAN], mask=[False, True, False])
    assert same(as_read(masked), [1.0, None, NAN])
    assert same(
        as_read(np.array([1, "a", None, [NAN], 2**80], dtype=object)), [1, "a", None, [NAN], 2**80]
    )
    assert as_read(np.array({"a": np.arange(2)}, dtype=object)) == {"a": [0, 1]}
    assert as_read(np.array(["a", "bc"])) == ["a", "bc"]
    assert as_read(np.array([["2024-01-01", "NaT"]], "M8[D]")) == [["2024-01-01", "NaT"]]
    assert as_read(np.arange(4).reshape(2, 2).view(np.matrix)) == [[0, 1], [2, 3]]
    assert as_read([np.arange(2), {"b": np.array([True])}]) == [[0, 1], {"b": [True]}]


def test_a_time_in_an_array_without_dimensions() -> None:
    assert as_read(np.array("2024-01-01T10:00:00", "M8[s]")) == "2024-01-01T10:00:00"


def test_numpy_ma_is_not_imported_for_an_array() -> None:
    run_script("""
        import sys
        import numpy as np
        from laplace_server import ServerLHC

        before = "numpy.ma" in sys.modules
        server = ServerLHC("types", "tcp://127.0.0.1:*", 1, "MOTOR")
        for copy in (False, True):
            server.set_data({"a": np.zeros(3), "b": np.array(["x"], object)}, copy)
            server.publish("s", {"a": np.zeros(3)}, copy=copy)
        assert ("numpy.ma" in sys.modules) is before
        server.stop()
    """)


def test_an_import_of_numpy_under_way_is_waited_for() -> None:
    run_script("""
        import datetime, sys, threading
        from laplace_server import ServerLHC

        class Slow:
            def find_spec(self, name, path=None, target=None):
                if name == "numpy._core.multiarray" or name == "numpy.core.multiarray":
                    begun.set()
                    assert go_on.wait(20)

        sys.meta_path.insert(0, Slow())
        begun, go_on = threading.Event(), threading.Event()
        server = ServerLHC("types", "tcp://127.0.0.1:*", 1, "MOTOR")
        importing = threading.Thread(target=lambda: __import__("numpy"))
        importing.start()
        assert begun.wait(20)
        # What is known without NumPy does not wait for it.
        server.set_data({"when": datetime.date(2026, 1, 1), "set": {1j}}, copy=True)
        said = []

        def refuse():
            try:
                server.set_data({"odd": object()}, copy=True)
            except TypeError as error:
                said.append(str(error))

        waiting = threading.Thread(target=refuse)
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        go_on.set()
        waiting.join(20)
        importing.join(20)
        assert said == ["data['odd']: a value of type object cannot be written as JSON"], said
        import numpy
        server.set_data({"a": numpy.zeros(3)}, copy=True)
        server.stop()
    """)


def test_numpy_is_not_imported_for_plain_data() -> None:
    assert run_script("""
        import sys
        from laplace_server import ServerLHC
        from laplace_server.server import _core
        _core.encode_json({"a": [1, (2.5, None)], "b": {"c": float("nan")}})
        print("numpy" in sys.modules)
    """).split() == ["False"]


def test_all_of_it_over_the_wire(make_server: MakeServer, connect: Connect) -> None:
    """Frozen, live, and refreshed: the three ways to a reply give the same text."""
    data = {str(i): value for i, value in enumerate(STANDARD)}
    data |= {f"other {i}": value for i, (value, _) in enumerate(OTHERS)}
    wanted = json.loads(_core.encode_json(data))
    server = make_server()
    client = connect(server)
    server.set_data(data, copy=True)
    assert same(client.get(), wanted)
    server.set_data(data)
    assert same(client.get(), wanted)
    server.set_on_get(lambda: server.set_data(data))
    assert same(client.get(), wanted)


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**62, 2**66)
    | st.floats()
    | st.text(st.characters(codec=None, categories=None), max_size=8),  # surrogates too
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(
            st.text(max_size=4) | st.integers() | st.floats() | st.booleans() | st.none(),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plain_values)
def test_any_plain_value_is_read_as_the_standard_library_writes_it(value: Any) -> None:
    assert same(as_read(value), json.loads(json.dumps(value)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(width=32) | st.none(), max_size=6),
    st.sampled_from(["f4", "f8", ">f8", object]),
    st.integers(1, 3),
)
def test_any_array_is_read_as_its_list(values: list[Any], dtype: Any, step: int) -> None:
    if dtype is not object:
        values = [value for value in values if value is not None]
    array = np.array(values, dtype=dtype)[::step]
    read = as_read(array)
    if dtype == "f4":  # the shortest text of a float32 is another float64
        assert np.array_equal(np.array(read, "f4"), array, equal_nan=True)
    else:
        assert same(read, array.tolist())
