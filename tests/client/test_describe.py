"""describe() and call() of both clients, against servers in processes of their own."""

from __future__ import annotations

import math
from typing import Any

import pytest
from support.both_clients import Kind
from support.isolated import Child
from support.original import require_original
from support.peers import PATIENCE_S, address_of
from support.ports import own_address
from support.scripted_server import JsonAnswer, reply_to
from support.serving import serving

from laplace_server import errors
from laplace_server.description import ArgumentDescription, KeyDescription

SCRIPT = """
import sys
from typing import Literal
from laplace_server import ServerLHC

server = ServerLHC(
    "stage", "tcp://127.0.0.1:*", 2, "MOTOR", {"positions": [0.0, 0.0], "moving": [True, False]},
    describe={
        "positions": {
            "dtype": float, "shape": (2,), "unit": "mm", "limits": [(-5, 5), (0, None)],
            "writable": True, "text": "where it is", "moving": "moving",
        },
        ("images", "image"): {"dtype": "uint16", "shape": (None, 640), "unit": "count"},
    },
    check_limits=True,
    when_moving="busy",
)
targets = []
server.set_on_position_changed(targets.append)

@server.command("HOME")
def home(axis: int, how: Literal["slow", "fast"] = "slow"):
    '''Send an axis home.'''
    if axis > 1:
        raise ValueError(f"no axis {axis}")
    return {"axis": axis, "how": how, "targets": targets}

server.start()
print(server.server_port, flush=True)
sys.stdin.read()
server.stop()
"""

ORIGINAL = """
import sys
sys.path.insert(0, sys.argv[1])
from laplace_server import ServerLHC
data = {
    "positions": [0.0, 1], "moving": False, "n": 1, "x": 1.5, "name": "s",
    "image": [[1, 2], [3, 4]], "ragged": [[1], [2, 3]], "mixed": [1, "a"],
    "none": None, "nothing": [], "dict": {"a": 1},
}
server = ServerLHC("original", sys.argv[2], 2, "MOTOR", data)
server.start()
print("ready", flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture
def stage(make_child: Any) -> str:
    child: Child = make_child(SCRIPT)
    return f"tcp://127.0.0.1:{child.hear()}"


def telling(**info: Any) -> JsonAnswer:
    """What answers INFO so."""
    whole = {"name": "odd", "device": "GAS", "freedom": 1, **info}
    return lambda message: [reply_to(message, whole)]


def test_a_description_is_typed_objects(kind: Kind, stage: str) -> None:
    with kind(stage, timeout_s=PATIENCE_S) as client:
        device = client.describe()
    assert (device.name, device.device, device.freedom) == ("stage", "MOTOR", 2)
    assert (device.check_limits, device.when_moving, device.inferred) == (True, "busy", False)
    assert device.keys == {
        "positions": KeyDescription(
            dtype="float64",
            shape=(2,),
            unit="mm",
            limits=((-5.0, 5.0), (0.0, math.inf)),
            writable=True,
            text="where it is",
            moving="moving",
        )
    }
    assert device.moved_key == "positions"
    assert device.keys["positions"].limits_of(1) == (0.0, math.inf)
    image = KeyDescription(dtype="uint16", shape=(None, 640), unit="count")
    assert device.streams == {"images": {"image": image}}
    home = device.methods["HOME"]
    assert (home.name, home.text) == ("HOME", "Send an axis home.")
    assert home.arguments == (
        ArgumentDescription("axis", "int"),
        ArgumentDescription("how", "'slow' | 'fast'", required=False, default="slow"),
    )


def test_what_a_device_refuses_is_told_by_the_exception(kind: Kind, stage: str) -> None:
    with kind(stage, timeout_s=PATIENCE_S) as client:
        with pytest.raises(errors.OutsideLimits, match="axis 1 of 'stage' goes from 0 mm on"):
            client.set([None, -1])
        with pytest.raises(errors.OutsideLimits, match="not to nan"):
            client.set([None, math.nan])
        with pytest.raises(errors.Busy, match="axis 0 of 'stage' is moving") as raised:
            client.set({"0": 1})
        assert (raised.value.cmd, raised.value.address) == ("SET", client.address)
        client.set([None, 3])
        assert client.call("HOME", axis=0)["targets"] == [[None, 3]]


def test_a_method_is_called(kind: Kind, stage: str) -> None:
    with kind(stage, timeout_s=PATIENCE_S) as client:
        there = client.call("HOME", axis=1, how="fast", timeout_s=PATIENCE_S)
        assert there == {"axis": 1, "how": "fast", "targets": []}
        for arguments, text in [
            ({}, "HOME: argument 'axis' is missing"),
            ({"axis": 0, "speed": 1}, "HOME: there is no argument 'speed'"),
            ({"axis": 0.5}, "HOME: argument 'axis' must be int, not 0.5"),
            ({"axis": 0, "how": "now"}, "must be 'slow' | 'fast', not 'now'"),
            ({"axis": 7}, "ValueError: no axis 7"),
        ]:
            with pytest.raises(errors.RemoteError) as raised:
                client.call("HOME", **arguments)
            assert text in str(raised.value)
            assert raised.value.cmd == "HOME"
        with pytest.raises(errors.RemoteError, match="Unknown command"):
            client.call("PARK")
        with pytest.raises(errors.InvalidReply, match=r"no method; request\('PING'\) returns"):
            client.call("PING")
        with pytest.raises(TypeError, match="a value of type object cannot be sent"):
            client.call("HOME", axis=object())
        with pytest.raises(ValueError, match="'cmd' must not be empty"):
            client.call("")


def test_an_argument_may_have_any_name(kind: Kind) -> None:
    def odd(self: int, cmd: int, arguments: int) -> list[int]:
        return [self, cmd, arguments]

    with serving() as server, kind(address_of(server), timeout_s=PATIENCE_S) as client:
        server.command("ODD")(odd)
        # `self` is the client's here; request() takes what a call cannot.
        payload = {"self": 1, "cmd": 2, "arguments": 3}
        assert client.request("ODD", payload) == {"result": [1, 2, 3]}


def test_what_the_data_looks_like_where_nothing_is_described(kind: Kind, make_child: Any) -> None:
    address = own_address()
    child = make_child(ORIGINAL, str(require_original()), address)
    assert child.hear() == "ready"
    with kind(address, timeout_s=PATIENCE_S) as client:
        device = client.describe()
        with pytest.raises(errors.RemoteError, match="Unknown command"):
            client.call("HOME", axis=0)
    assert (device.name, device.device, device.freedom) == ("original", "MOTOR", 2)
    assert device.inferred
    assert (device.streams, device.methods) == ({}, {})
    assert device.keys == {
        "positions": KeyDescription("float64", (2,), writable=True, moving="moving"),
        "moving": KeyDescription("bool", ()),
        "n": KeyDescription("int64", ()),
        "x": KeyDescription("float64", ()),
        "name": KeyDescription("str", ()),
        "image": KeyDescription("int64", (2, 2)),
        "ragged": KeyDescription("object"),
        "mixed": KeyDescription("object", (2,)),
        "none": KeyDescription(None, ()),
        "nothing": KeyDescription(None, (0,)),
        "dict": KeyDescription("object", ()),
    }


def test_what_is_read_only_is_not_taken_for_writable(kind: Kind) -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    with serving(device="CAMERA", data={"positions": [1], "deep": deep}) as server:
        with kind(address_of(server), timeout_s=PATIENCE_S) as client:
            device = client.describe()
    assert device.inferred
    assert device.moved_key is None
    assert device.keys["deep"] == KeyDescription("object")


@pytest.mark.parametrize(
    "told",
    [
        {"description": None},
        {"description": {"keys": [1]}},
        {"description": {"keys": {"x": {"limits": "far"}}}},
        {"description": {"keys": {"x": {"limits": [0, 10**400]}}}},
        {"description": {"keys": {"x": {"limits": [float("inf"), None]}}}},
        {"description": {"streams": {"s": 5}}},
        {"description": {}, "methods": {"HOME": {"arguments": [{}]}}},
        {"description": {}, "freedom": "two"},
        {"description": {}, "freedom": float("inf")},
    ],
    ids=str,
)
def test_what_is_no_description_is_an_invalid_reply(talking: Any, told: dict[str, Any]) -> None:
    with talking(telling(**told)) as (_, client):
        with pytest.raises(errors.InvalidReply, match="What INFO describes is no description"):
            client.describe()


def test_what_a_later_version_tells_is_left_out(talking: Any) -> None:
    described = {"keys": {"x": {"unit": "mm", "colour": "red"}}, "when_moving": "queue"}
    with talking(telling(description=described)) as (_, client):
        device = client.describe()
    assert device.keys == {"x": KeyDescription(unit="mm")}
    assert (device.when_moving, device.inferred) == ("follow", False)
