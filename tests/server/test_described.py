"""Devices that say what their keys are: INFO, and the SETs that are refused for it."""

from __future__ import annotations

import dataclasses
import enum
import logging
import math
import os
import threading
from typing import Any

import numpy as np
import pytest
from support.forked import Forked
from support.peers import Connect
from support.rights import logged
from support.serving import Gate, MakeServer
from support.waiting import eventually

from laplace_server import ServerLHC
from laplace_server.description import KeyDescription
from laplace_server.errors import ForkedServerError
from laplace_server.stats import ErrorKind

POSITIONS = {"unit": "mm", "limits": [(-5, 5), (0, None)], "writable": True, "moving": "moving"}
TOLD = {"unit": "mm", "limits": [[-5.0, 5.0], [0.0, None]], "writable": True, "moving": "moving"}


def test_info_tells_of_it_by_the_loop_and_by_python(
    make_server: MakeServer, connect: Connect
) -> None:
    described = {"positions": POSITIONS, ("images", "image"): KeyDescription("uint16", (2, 3))}
    server = make_server(describe=described, check_limits=True)
    client = connect(server)
    info = client.info()
    assert info["description"] == {
        "keys": {"positions": TOLD},
        "streams": {"images": {"image": {"dtype": "uint16", "shape": [2, 3]}}},
        "check_limits": True,
        "when_moving": "follow",
    }
    assert client.ask("INFO", {"long": 10**30})["payload"] == info

    def refreshes() -> int:
        before = server.stats().refreshes
        client.info()
        return server.stats().refreshes - before

    assert eventually(lambda: refreshes() == 0)


def test_nothing_is_told_of_what_is_not_described(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(check_limits=True, when_moving="busy")
    client = connect(server)
    assert set(client.info()) == set(client.ask("INFO", {"long": 10**30})["payload"])
    assert "description" not in client.info()
    assert client.ask("SET", {"positions": "anything"})["error_msg"] is None


def test_keys_are_described_while_it_serves(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(describe={"x": {"unit": "mm", "text": "old"}})
    client = connect(server)
    server.describe("x", unit="nm", dtype=float)
    server.describe("y", shape=(2,))
    server.describe("image", stream="images", unit="count")
    info = client.info()
    assert info["description"]["keys"] == {
        "x": {"unit": "nm", "dtype": "float64"},
        "y": {"shape": [2]},
    }
    assert info["description"]["streams"] == {"images": {"image": {"unit": "count"}}}
    assert client.ask("INFO", {"long": 10**30})["payload"] == info
    server.freedom = 2
    assert client.info()["description"] == info["description"]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"describe": ["x"]}, TypeError, "'describe' must be a dict"),
        ({"describe": {5: {}}}, TypeError, "a key that is described must be str, or a pair"),
        ({"describe": {(1, "x"): {}}}, TypeError, "'stream' must be str"),
        ({"describe": {"x": {"units": "mm"}}}, TypeError, "'x': there is no field 'units'"),
        ({"describe": {"x": {"moving": "x"}}}, ValueError, "'x': 'moving' must be another key"),
        ({"describe": {"x": {"limits": (2, 1)}}}, ValueError, "'x': 'limits': the lowest"),
        ({"when_moving": "wait"}, ValueError, "'follow' or 'busy', not 'wait'"),
        (
            {"describe": {"x": {"writable": True}, "y": {"writable": True}}},
            ValueError,
            "'y': SET moves one key, and 'x' is writable already",
        ),
        (
            {"describe": {("images", "x"): {"writable": True}}},
            ValueError,
            "one of a stream is not writable",
        ),
    ],
)
def test_a_wrong_description_raises_at_the_call(
    make_server: MakeServer, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        make_server(start=False, **arguments)


def test_a_wrong_description_changes_nothing(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(describe={"x": {"writable": True}})
    before = connect(server).info()
    with pytest.raises(ValueError, match="writable already"):
        server.describe("y", writable=True)
    with pytest.raises(TypeError, match="The description of 'x': 'unit' must be str"):
        server.describe("x", unit=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'units'"):
        server.describe("x", units="mm")  # type: ignore[call-arg]
    assert connect(server).info() == before
    server.describe("x", unit="mm", writable=True)  # the same key may stay it


OUTSIDE: list[tuple[Any, str]] = [
    ([6], "axis 0 of 'tested' goes from -5 to 5 mm, not to 6."),
    ([0, -0.5], "axis 1 of 'tested' goes from 0 mm on, not to -0.5."),
    ({"1": -1}, "axis 1 of 'tested' goes from 0 mm on, not to -1."),
    ([math.nan], "axis 0 of 'tested' goes from -5 to 5 mm, not to nan."),
    ([None, math.nan], "axis 1 of 'tested' goes from 0 mm on, not to nan."),
    ([None, math.inf], "axis 1 of 'tested' goes from 0 mm on, not to inf."),
    ([None, 10**400], f"axis 1 of 'tested' goes from 0 mm on, not to 1{'0' * 17}...{'0' * 19}."),
    ([10**30], f"axis 0 of 'tested' goes from -5 to 5 mm, not to {10**30}."),
    ([0, 0, 0], "'tested' has no axis 2."),
    ({"2": None}, "'tested' has no axis 2."),
    ({"x": 1}, "'tested' has no axis 'x'."),
    *(({key: 1}, f"'tested' has no axis '{key}'.") for key in ("-1", "+1", "01", "0000000001")),
    ({"9" * 5000: 1}, "'tested' has no axis '999999999999...9999999999999'."),
    (["1"], "axis 0 of 'tested' needs a number, not '1'."),
    ([True], "axis 0 of 'tested' needs a number, not True."),
    ([[1]], "axis 0 of 'tested' needs a number, not [1]."),
    (-6, "axis 0 of 'tested' goes from -5 to 5 mm, not to -6."),
    (
        "all",
        "positions of 'tested' are a list, an object by index, or one number, not 'all'.",
    ),
    (
        None,
        "positions of 'tested' are a list, an object by index, or one number, not None.",
    ),
    (
        True,
        "positions of 'tested' are a list, an object by index, or one number, not True.",
    ),
]
INSIDE: list[Any] = [[5, 0], [-5.0, 1e300], [None, 3], {"0": 1.5}, {"1": 10**300}, [], {}, 2, [0]]


def test_a_set_outside_of_the_limits_reaches_no_callback(
    make_server: MakeServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    server = make_server(describe={"positions": POSITIONS}, check_limits=True)
    seen: list[Any] = []
    server.set_on_position_changed(seen.append)
    client = connect(server)
    for positions, text in OUTSIDE:
        reply = client.ask("SET", {"positions": positions})
        assert reply["error_msg"] == f"outside limits: {text}"
        assert (reply["cmd"], reply["payload"]) == ("SET", {})
    assert seen == []
    assert len(logged(caplog, "SET refused: outside limits: ")) == len(OUTSIDE)
    for positions in INSIDE:
        reply = client.ask("SET", {"positions": positions})
        assert (reply["error_msg"], reply["msg"]) == (None, "Positions updated.")
    assert seen == INSIDE
    assert client.ask("SET", {})["error_msg"] == "Payload missing keys: ['positions']."
    assert client.ask("SET", [1])["error_msg"] == client.ask("SET", [2])["error_msg"] is not None
    assert eventually(lambda: server.stats().errors[ErrorKind.PAYLOAD] == len(OUTSIDE) + 3)


@pytest.mark.parametrize(
    ("limits", "positions", "way"),
    [
        ((0, 25), [26], "from 0 to 25 mm, not to 26."),
        ((0, None), [-1], "from 0 mm on, not to -1."),
        ((None, 25), [26], "up to 25 mm, not to 26."),
        ((None, 25), [-(10**400)], f"up to 25 mm, not to -1{'0' * 16}...{'0' * 19}."),
        ((None, 12.3456781), [12.3456789], "up to 12.3456781 mm, not to 12.3456789."),
        (None, [math.inf], "to any finite position, not to inf."),
        (None, [10**400], f"to any finite position, not to 1{'0' * 17}...{'0' * 19}."),
    ],
    ids=str,
)
def test_it_is_said_where_an_axis_goes(
    make_server: MakeServer, connect: Connect, limits: Any, positions: Any, way: str
) -> None:
    described = {"positions": {"unit": "mm", "limits": limits, "writable": True}}
    server = make_server(describe=described, check_limits=True)
    error = connect(server).ask("SET", {"positions": positions})["error_msg"]
    assert error == f"outside limits: axis 0 of 'tested' goes {way}"


def test_a_key_of_a_stream_may_be_called_as_what_moves(make_server: MakeServer) -> None:
    server = make_server(start=False, describe={("images", "moving"): {"moving": "moving"}})
    server.describe("moving", stream="more", moving="moving")
    with pytest.raises(ValueError, match="another key of the data"):
        server.describe("moving", moving="moving")


def test_limits_are_told_and_not_checked_unless_asked(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(describe={"positions": POSITIONS})
    seen: list[Any] = []
    server.set_on_position_changed(seen.append)
    for positions, _ in OUTSIDE[:3]:
        assert connect(server).ask("SET", {"positions": positions})["error_msg"] is None
    assert len(seen) == 3


def test_limits_change_while_it_serves(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(check_limits=True)
    client = connect(server)
    assert client.ask("SET", {"positions": [7]})["error_msg"] is None
    server.describe("pressures", writable=True, limits=(0, 6), unit="bar")
    assert "goes from 0 to 6 bar, not to 7." in client.ask("SET", {"positions": [7]})["error_msg"]
    server.describe("pressures", writable=True, limits=(0, 8), unit="bar")
    assert client.ask("SET", {"positions": [7]})["error_msg"] is None


class Axis(enum.Enum):
    FIRST = 0


@dataclasses.dataclass
class ByName:
    x: bool
    y: bool


# What the data says, the positions, and which axis is told to move; None: none is.
BUSY: list[tuple[Any, Any, Any]] = [
    (True, [1], 0),
    (True, [None, 1], 1),
    (True, {"1": 1}, 1),
    (True, 3, 0),
    (True, [None, None], None),
    (True, [], None),
    (True, {}, None),
    (True, None, None),
    (False, [1, 1], None),
    ([True, False], [1], 0),
    ([True, False], [None, 1], None),
    ([True, False], {"1": 1}, None),
    ([False, True], [1, 1], 1),
    ((True, False), [1], 0),
    ([], [1], None),
    # By axis
    ({0: True, 1: False}, [1, 1], 0),
    ({"0": True, "1": False}, [1], 0),
    ({"0": True, "1": False}, {"1": 1}, None),
    ({Axis.FIRST: True, 1: False}, [1], 0),
    ({np.int64(0): True, 1: False}, [None, 1], None),
    ({"x": True, "y": False}, {"x": 1}, "x"),
    ({"x": True, "y": False}, {"y": 1}, None),
    (ByName(x=False, y=True), {"x": 1, "y": 1}, "y"),
    ({}, [1], None),
    # Of NumPy, and in several dimensions
    (np.array([False, True]), [1, 1], 1),
    (np.array([False, True]), [1], None),
    (np.array([0, 1], np.uint8), [1, 1], 1),
    (np.bool_(True), [1], 0),
    (np.bool_(False), [1], None),
    (np.array(True), [None, 1], 1),
    (np.array(False), [1], None),
    (np.array([[False, False], [False, True]]), [1], None),
    (np.array([[False, False], [False, True]]), [1, 1], 1),
    ([[False], [True]], [1], None),
    ([{"near": False}, {"near": True}], [1, 1], 1),
    (np.zeros((0, 2)), [1], None),
    # Axes that what is said does not tell from others
    ([True], [None, 1], 1),
    ([False], [None, 1], None),
    ({"0": True}, [None, 1], 1),
    ({"x": True, "y": False}, [None, 1], 1),
    ([False, True], {"x": 1}, "x"),
    ([False, False], {"x": 1}, None),
    *(([False, True], {key: 1}, key) for key in ("-1", "+1", "01", "0000000001", "", "1.0")),
    ([False, True], {"-1": None}, None),
    ({"0": False, "1": True}, {"-1": 1}, "-1"),
    (np.array([[False, True]]), {"-1": 1}, "-1"),
    (True, {"x" * 99: 1}, f"{'x' * 12}...{'x' * 13}"),
    # What is no number and no text for people
    ("yes", [1], None),
    (["no", "no"], [1], None),
    (None, [1], None),
    (math.nan, [1], 0),
    ([None, math.nan], [1, 1], 1),
]


@pytest.mark.parametrize(("moving", "positions", "axis"), BUSY, ids=str)
def test_an_axis_that_moves_is_left_alone(
    make_server: MakeServer, connect: Connect, moving: Any, positions: Any, axis: Any
) -> None:
    server = make_server(
        describe={"positions": POSITIONS}, when_moving="busy", data={"moving": moving}
    )
    seen: list[Any] = []
    server.set_on_position_changed(seen.append)
    error = connect(server).ask("SET", {"positions": positions})["error_msg"]
    if axis is None:
        assert (error, seen) == (None, [positions])
    else:
        text = f"busy: axis {axis!r} of 'tested' is moving; wait until it has arrived."
        assert (error, seen) == (text, [])


@pytest.mark.parametrize("positions", ["all", True, [[1]]], ids=str)
def test_what_may_move_any_axis_waits_for_all(
    make_server: MakeServer, connect: Connect, positions: Any
) -> None:
    moving = [[False], [True]] if isinstance(positions, list) else [False, True]
    server = make_server(
        describe={"positions": POSITIONS}, when_moving="busy", data={"moving": moving}
    )
    error = connect(server).ask("SET", {"positions": positions})["error_msg"]
    if isinstance(positions, list):
        assert error is None, "axis 0 is at rest"
    else:
        assert error == "busy: 'tested' is moving; wait until it has arrived."


def test_where_nobody_can_read_what_moves_it_does(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(describe={"positions": POSITIONS}, when_moving="busy")
    circular: list[Any] = []
    circular.append(circular)
    for moving in (object(), circular):
        server.set_data({"moving": moving})
        error = connect(server).ask("SET", {"positions": [1]})["error_msg"]
        assert error == "busy: axis 0 of 'tested' is moving; wait until it has arrived."


@pytest.mark.parametrize("when_moving", ["busy", "follow"])
def test_two_programs_move_one_axis(
    make_server: MakeServer, connect: Connect, when_moving: str
) -> None:
    """The first one's callback says that it moves before the second one is asked about."""
    server = make_server(
        describe={"positions": POSITIONS}, when_moving=when_moving, data={"moving": False}
    )
    gate = Gate()

    def move(positions: Any) -> None:
        server.set_data({"moving": True}, copy=True)
        gate(positions)

    server.set_on_position_changed(move)
    first, second = connect(server), connect(server)
    first.send("SET", {"positions": [1]})
    gate.wait_begun()
    second.send("SET", {"positions": [2]})
    gate.open()
    assert first.receive()["error_msg"] is None
    error = second.receive()["error_msg"]
    if when_moving == "busy":
        assert error.startswith("busy: axis 0")
        assert gate.calls == [[1]]
        server.set_data({"moving": False})
        assert second.ask("SET", {"positions": [3]})["error_msg"] is None
        assert gate.calls == [[1], [3]]
    else:
        assert error is None
        assert gate.calls == [[1], [2]]


def test_a_device_without_what_moves_is_never_busy(
    make_server: MakeServer, connect: Connect
) -> None:
    for described in ({}, {"positions": {"writable": True}}, {"positions": POSITIONS}):
        server = make_server(when_moving="busy", describe=described, data={"positions": [0]})
        assert connect(server).ask("SET", {"positions": [1]})["error_msg"] is None


def test_data_of_a_derived_class_says_what_moves(make_server: MakeServer, connect: Connect) -> None:
    class Derived(ServerLHC):
        @property
        def data(self) -> dict[Any, Any]:
            return {"moving": True}

    server = make_server(kind=Derived, describe={"x": POSITIONS}, when_moving="busy")
    assert connect(server).ask("SET", {"positions": [1]})["error_msg"].startswith("busy: ")


def test_a_handler_of_ones_own_is_asked_for_all_positions(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(describe={"positions": POSITIONS}, check_limits=True)
    server.register_handler("SET", lambda *_: {"mine": 1})
    assert connect(server).ask("SET", {"positions": [99]})["payload"] == {"mine": 1}


def test_threads_describe_at_once(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()

    def describe(first: int) -> None:
        for n in range(first, first + 50):
            server.describe(f"key {n}", unit=str(n))

    threads = [threading.Thread(target=describe, args=(50 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = connect(server).info()["description"]["keys"]
    assert keys == {f"key {n}": {"unit": str(n)} for n in range(200)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_describes_nothing(make_server: MakeServer, connect: Connect) -> None:
    server = make_server(describe={"x": {}})

    def describe() -> None:
        with pytest.raises(ForkedServerError):
            server.describe("y")

    with Forked(describe):
        pass
    assert list(connect(server).info()["description"]["keys"]) == ["x"]
