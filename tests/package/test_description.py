"""Descriptions as objects: what they take, what they refuse, what they say."""

from __future__ import annotations

import copy
import math
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from laplace_server.description import (
    ArgumentDescription,
    DeviceDescription,
    KeyDescription,
    MethodDescription,
)

pytestmark = pytest.mark.transports("tcp")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("uint16", "uint16"),
        (float, "float64"),
        (bool, "bool"),
        (np.uint16, "uint16"),
        (np.dtype("<i4"), "int32"),
        (np.zeros(2).dtype, "float64"),
    ],
)
def test_types_by_numpys_names(given: Any, name: str) -> None:
    assert KeyDescription(dtype=given).dtype == name


@pytest.mark.parametrize(
    ("given", "pairs"),
    [
        ((-50, 50), ((-50.0, 50.0),)),
        ([0, None], ((0.0, math.inf),)),
        ((None, None), ((-math.inf, math.inf),)),
        ([(0, 1), (None, np.float32(2))], ((0.0, 1.0), (-math.inf, 2.0))),
        ([[0, 1]], ((0.0, 1.0),)),
        ((3, 3), ((3.0, 3.0),)),
        ((-math.inf, math.inf), ((-math.inf, math.inf),)),
    ],
)
def test_limits_are_pairs(given: Any, pairs: Any) -> None:
    described = KeyDescription(limits=given)
    assert described.limits == pairs
    assert KeyDescription(**described.as_json()) == described


def test_limits_of_each_axis() -> None:
    of_all = KeyDescription(limits=(0, 1))  # type: ignore[arg-type]
    assert of_all.limits_of(0) == of_all.limits_of(7) == (0.0, 1.0)
    assert (of_all.axes, of_all.limits_of(-1)) == (None, None)
    of_two = KeyDescription(shape=(2,), limits=(0, 1))  # type: ignore[arg-type]
    assert (of_two.axes, of_two.limits_of(1), of_two.limits_of(2)) == (2, (0.0, 1.0), None)
    of_each = KeyDescription(limits=[(0, 1), (2, 3)])  # type: ignore[arg-type]
    assert (of_each.axes, of_each.limits_of(1), of_each.limits_of(2)) == (2, (2.0, 3.0), None)
    assert KeyDescription().limits_of(3) == (-math.inf, math.inf)


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"dtype": 5}, TypeError, "'dtype' must be a name"),
    ({"dtype": ""}, TypeError, "'dtype' must be a name"),
    ({"dtype": dict}, TypeError, "'dtype' must be a name"),
    ({"shape": 2}, TypeError, "'shape' must be a tuple"),
    ({"shape": "2"}, TypeError, "'shape' must be a tuple"),
    ({"shape": (1.5,)}, TypeError, "'shape' has whole numbers"),
    ({"shape": (True,)}, TypeError, "'shape' has whole numbers"),
    ({"shape": (-1,)}, ValueError, "no negative lengths"),
    ({"unit": 1}, TypeError, "'unit' must be str"),
    ({"text": None}, TypeError, "'text' must be str"),
    ({"moving": True}, TypeError, "'moving' must be str"),
    ({"writable": 1}, TypeError, "'writable' must be bool"),
    ({"limits": 5}, TypeError, "'limits' must be"),
    ({"limits": "12"}, TypeError, "'limits' must be"),
    ({"limits": ()}, TypeError, "'limits' must be"),
    ({"limits": (1,)}, TypeError, "'limits' has pairs"),
    ({"limits": (1, 2, 3)}, TypeError, "'limits' has pairs"),
    ({"limits": [(1, 2), 3]}, TypeError, "'limits' has pairs"),
    ({"limits": ["ab", "cd"]}, TypeError, "'limits' has pairs"),
    ({"limits": (True, 2)}, TypeError, "'limits' has numbers"),
    ({"limits": ("1", 2)}, TypeError, "'limits' has"),
    ({"limits": (2, 1)}, ValueError, "the lowest must not be above"),
    ({"limits": (math.nan, 1)}, ValueError, "the lowest must not be above"),
    ({"limits": (1, math.nan)}, ValueError, "the lowest must not be above"),
    ({"limits": (0, 10**400)}, ValueError, "beyond all of float64; None is no limit"),
    ({"limits": (Fraction(10**400), None)}, ValueError, "beyond all of float64"),
    ({"limits": (math.inf, None)}, ValueError, "leaves no finite value"),
    ({"limits": (math.inf, math.inf)}, ValueError, "leaves no finite value"),
    ({"limits": (None, -math.inf)}, ValueError, "leaves no finite value"),
    ({"limits": [(0, 1), (-math.inf, -math.inf)]}, ValueError, "leaves no finite value"),
    ({"limits": (np.float32(math.inf), None)}, ValueError, "leaves no finite value"),
    ({"limits": (np.bool_(True), 2)}, TypeError, "'limits' has numbers"),
    ({"moving": ""}, ValueError, "'moving' must be the name of a key"),
    ({"shape": (3,), "limits": [(0, 1), (0, 2)]}, ValueError, "2 pairs for 3 axes"),
    ({"units": "mm"}, TypeError, "there is no field 'units', only dtype, shape, unit, limits"),
]


@pytest.mark.parametrize(("fields", "error", "text"), WRONG, ids=str)
def test_what_is_wrong_is_said(fields: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        KeyDescription.of(fields)


def test_a_limit_with_more_digits_than_python_writes() -> None:
    with pytest.raises(ValueError, match="beyond all of float64"):
        KeyDescription.of({"limits": [(0, 1), (-(10**5000), 1)]})


def test_what_is_no_description() -> None:
    with pytest.raises(TypeError, match="a description is a dict such as"):
        KeyDescription.of("mm")
    made = KeyDescription(unit="mm")
    assert KeyDescription.of(made) is made


def test_only_what_was_said_is_told() -> None:
    assert KeyDescription().as_json() == {}
    full = {"dtype": "float64", "shape": [2, None], "unit": "mm", "writable": True}
    full |= {"limits": [None, 5.0], "text": "x", "moving": "m"}
    assert KeyDescription.of(full).as_json() == full
    assert KeyDescription(shape=()).as_json() == {"shape": []}


def test_methods_are_written_as_in_python() -> None:
    arguments = (
        ArgumentDescription("axis", "int"),
        ArgumentDescription("mode", "str", required=False, default="slow"),
    )
    method = MethodDescription("HOME", arguments, "Home.")
    assert str(method) == "HOME(axis: int, mode: str = 'slow')"
    assert method.as_json() == {
        "text": "Home.",
        "arguments": [
            {"name": "axis", "type": "int"},
            {"name": "mode", "type": "str", "default": "slow"},
        ],
    }


def test_they_are_values() -> None:
    device = DeviceDescription(
        "stage", "MOTOR", 1, {"time": KeyDescription(), "x": KeyDescription(writable=True)}
    )
    assert device.moved_key == "x"
    assert DeviceDescription("shot", "SHOT", 0).moved_key is None
    assert pickle.loads(pickle.dumps(device)) == copy.deepcopy(device) == device
