"""A device's description, read from INFO; or inferred from its data where INFO has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laplace_server.description import (
    ArgumentDescription,
    DeviceDescription,
    KeyDescription,
    MethodDescription,
)
from laplace_server.errors import InvalidReply
from laplace_server.protocol import AVAILABLE_CONTROLS, CMD_INFO

_FIELDS = tuple(KeyDescription.__dataclass_fields__)
# What motors and gas valves of the field have always had in their data.
_POSITIONS, _MOVING = "positions", "moving"
_MOST_DIMENSIONS = 32


def is_described(info: Mapping[str, Any]) -> bool:
    """Whether a server that tells this describes its keys."""
    return "description" in info


def description_of(
    info: Mapping[str, Any], data: Mapping[str, Any] | None, address: str
) -> DeviceDescription:
    """Make the description of INFO's payload; of ``data``, if given, where that has none.

    Raises:
        InvalidReply: what INFO tells is no description.
    """
    try:
        told = info.get("description", {})
        keys = _keys_of(told.get("keys", {}))
        inferred = not is_described(info)
        if inferred and data is not None:
            keys = _inferred(data, str(info.get("device")))
        return DeviceDescription(
            name=str(info.get("name")),
            device=str(info.get("device")),
            freedom=int(info.get("freedom", 0)),
            keys=keys,
            streams={name: _keys_of(of_it) for name, of_it in told.get("streams", {}).items()},
            methods={name: _method(name, of_it) for name, of_it in info.get("methods", {}).items()},
            check_limits=bool(told.get("check_limits")),
            when_moving="busy" if told.get("when_moving") == "busy" else "follow",
            inferred=inferred,
        )
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as problem:
        text = f"What INFO describes is no description: {problem}"
        raise InvalidReply(text, CMD_INFO, address) from problem


def _keys_of(told: Mapping[str, Any]) -> dict[str, KeyDescription]:
    # A later version may tell more of a key.
    return {
        key: KeyDescription(**{name: each[name] for name in _FIELDS if name in each})
        for key, each in told.items()
    }


def _method(name: str, told: Mapping[str, Any]) -> MethodDescription:
    arguments = (
        ArgumentDescription(
            each["name"],
            each.get("type", "any"),
            required="default" not in each,
            default=each.get("default"),
        )
        for each in told.get("arguments", ())
    )
    return MethodDescription(name, tuple(arguments), told.get("text", ""))


def _inferred(data: Mapping[str, Any], device: str) -> dict[str, KeyDescription]:
    keys = {}
    for key, value in data.items():
        is_moved = key == _POSITIONS and device in AVAILABLE_CONTROLS
        dtype, shape = _type_and_shape(value)
        keys[key] = KeyDescription(
            dtype=dtype,
            shape=shape,
            writable=is_moved,
            moving=_MOVING if is_moved and _MOVING in data else None,
        )
    return keys


def _type_and_shape(value: Any, depth: int = 0) -> tuple[str | None, tuple[int, ...] | None]:
    """NumPy's names for what JSON has; no shape where lists differ in length."""
    if isinstance(value, bool):
        return "bool", ()
    if isinstance(value, int):
        return "int64", ()
    if isinstance(value, float):
        return "float64", ()
    if isinstance(value, str):
        return "str", ()
    if not isinstance(value, list):
        return (None, ()) if value is None else ("object", ())
    if not value:
        return None, (0,)
    if depth == _MOST_DIMENSIONS:
        return "object", None
    inside = {_type_and_shape(each, depth + 1) for each in value}
    types, shapes = {dtype for dtype, _ in inside}, {shape for _, shape in inside}
    if types == {"int64", "float64"}:
        types = {"float64"}
    if len(shapes) > 1 or None in shapes:
        return "object", None
    (shape,) = shapes
    assert shape is not None
    return (types.pop() if len(types) == 1 else "object"), (len(value), *shape)
