"""Devices that say what their keys are: INFO, and the SETs that are refused for it."""

from __future__ import annotations

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
    ([0, -0.5], "axis 1 of 'tested' goes from 0 to inf mm, not to -0.5."),
    ({"1": -1}, "axis 1 of 'tested' goes from 0 to inf mm, not to -1."),
    ([math.nan], "axis 0 of 'tested' goes from -5 to 5 mm, not to nan."),
    ([None, math.nan], "axis 1 of 'tested' goes from 0 to inf mm, not to nan."),
    ([None, math.inf], "axis 1 of 'tested' goes from 0 to inf mm, not to inf."),
    ([10**30], f"axis 0 of 'tested' goes from -5 to 5 mm, not to {10**30}."),
    ([0, 0, 0], "'tested' has no axis 2."),
    ({"2": None}, "'tested' has no axis 2."),
    ({"x": 1}, "'tested' has no axis 'x'."),
    ({"-1": 1}, "'tested' has no axis '-1'."),
    ({"9" * 5000: 1}, "'tested' has no axis '999999999999...9999999999999'."),
    (["1"], "axis 0 of 'tested' needs a number, not '1'."),
    ([True], "axis 0 of 'tested' needs a number, not True."),
    ([[1]], "axis 0 of 'tested' needs a number, not [1]."),
    (-6, "axis 0 of 'tested' goes from -5 to 5 mm, not to -6."),
    ("all", "positions of 'tested' are a list or an object, not 'all'."),
    (None, "positions of 'tested' are a list or an object, not None."),
    (True, "positions of 'tested' are a list or an object, not True."),
]
INSIDE: list[Any] = [[5, 0], [-5.0, 1e300], [None, 3], {"0": 1.5}, {"1": 10**400}, [], {}, 2, [0]]


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


BUSY: list[tuple[Any, Any, int | None]] = [
    (True, [1], 0),
    (True, [None, 1], 1),
    (True, {"1": 1}, 1),
    (True, 3, 0),
    (True, [None, None], None),
    (True, [], None),
    (False, [1, 1], None),
    ([True, False], [1], 0),
    ([True, False], [None, 1], None),
    ([True, False], {"1": 1}, None),
    ([False, True], [1, 1], 1),
    ([True], [None, 1], None),
    ((True, False), [1], 0),
    (np.array([False, True]), [1, 1], 1),
    (np.array([False, True]), [1], None),
    (np.bool_(True), [1], 0),
    ([True], {"x": 1}, None),
    ("yes", [1], None),
    (None, [1], None),
]


@pytest.mark.parametrize(("moving", "positions", "axis"), BUSY, ids=str)
def test_an_axis_that_moves_is_left_alone(
    make_server: MakeServer, connect: Connect, moving: Any, positions: Any, axis: int | None
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
        text = f"busy: axis {axis} of 'tested' is moving; wait until it has arrived."
        assert (error, seen) == (text, [])


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
