"""The arguments of a method, as its annotations say: what a payload is checked against."""

from __future__ import annotations

import enum
import functools
import inspect
import reprlib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from laplace_server.description import ArgumentDescription
from laplace_server.wire.plain_values import plain

_PLAIN = {bool: "bool", int: "int", float: "float", str: "str", list: "list", dict: "dict"}
_TAKEN = "bool, int, float, str, list, dict, Any, None, Optional, unions, Literal and enums"
_TIMEOUT = "timeout_s"  # what a client's ``call`` takes beside a method's arguments

_shown = reprlib.Repr()  # what clients sent, however long or deep


class _Unfit(Exception):
    """A value is not of its type."""


@dataclass(frozen=True)
class Type:
    """What a value is checked against."""

    text: str
    """As it is written in Python."""
    convert: Callable[[Any], Any]
    """Returns what the function gets; raises _Unfit for what is not of the type."""


@dataclass(frozen=True)
class Argument:
    """One argument of a function."""

    description: ArgumentDescription
    type: Type


def arguments_of(function: Callable[..., Any]) -> tuple[Argument, ...]:
    """Read a function's arguments.

    Raises:
        TypeError: one cannot be given by its name, is not annotated, or with what JSON has nothing
            like, or has a default that cannot be sent.
        ValueError: one is called ``timeout_s``, or the function has no signature.
    """
    try:
        hints = typing.get_type_hints(_annotated(function))
    except Exception as problem:  # one that is text may be any code
        raise TypeError(
            f"the annotations of {function!r} cannot be read: {problem}. They must be types, and "
            "names in them those of its module."
        ) from None
    parameters = inspect.signature(function).parameters.values()
    return tuple(_argument(each, hints) for each in parameters)


def checked_arguments(arguments: tuple[Argument, ...], payload: Any) -> dict[str, Any]:
    """Return a payload as arguments of the function.

    Raises:
        ValueError: it is no object, or one of it is missing, unknown or of the wrong type; the text
            is for the client.
    """
    if not isinstance(payload, Mapping):
        raise ValueError(f"arguments are an object, not {_shown.repr(payload)}.")
    names = {each.description.name for each in arguments}
    has = ", ".join(str(each.description) for each in arguments) or "none"
    unknown = [name for name in payload if name not in names]
    if unknown:
        raise ValueError(f"there is no argument {_shown.repr(unknown[0])}; there are: {has}.")
    given = {}
    for each in arguments:
        name = each.description.name
        if name in payload:
            try:
                given[name] = each.type.convert(payload[name])
            except _Unfit:
                value = _shown.repr(payload[name])
                raise ValueError(
                    f"argument {name!r} must be {each.type.text}, not {value}."
                ) from None
        elif each.description.required:
            raise ValueError(f"argument {name!r} is missing; there are: {has}.")
    return given


def _annotated(function: Any) -> Any:
    """What has the annotations of a callable: an object's class says what a call of it does."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, type):
        return _maker(function)
    return function if inspect.isroutine(function) else type(function).__call__


def _maker(kind: type) -> Any:
    """What has the annotations of a class that is called: the same as gives its signature."""
    if issubclass(kind, tuple):  # a NamedTuple, whose __new__ cannot read its own
        return kind
    for base in kind.__mro__:
        for name in ("__new__", "__init__"):
            if name in vars(base) and inspect.isfunction(getattr(base, name)):
                return getattr(base, name)
    return kind.__init__


def _argument(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Argument:
    name = parameter.name
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise TypeError(f"argument {parameter} of a method cannot be given by its name.")
    if name == _TIMEOUT:
        raise ValueError(
            f"no argument of a method may be called {_TIMEOUT!r}: clients say by it how long they "
            "wait for the answer."
        )
    if name not in hints:
        raise TypeError(f"argument {name!r} needs an annotation, such as '{name}: float'.")
    kind = _type_of(hints[name], name)
    if parameter.default is parameter.empty:
        return Argument(ArgumentDescription(name, kind.text), kind)
    try:
        default = plain({"default": parameter.default})["default"]
    except (TypeError, ValueError) as problem:
        raise TypeError(f"the default of argument {name!r} cannot be told: {problem}") from None
    return Argument(ArgumentDescription(name, kind.text, required=False, default=default), kind)


def _type_of(hint: Any, name: str) -> Type:
    if hint is Any:
        return Type("any", lambda value: value)
    if hint is None or hint is type(None):
        return _one_of([None])
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (list, dict) and not inner:  # typing.List and typing.Dict
        origin, hint = None, origin
    if origin is Literal:
        return _one_of(_checked_values(list(inner), hint, name))
    if origin in (Union, types.UnionType):
        return _union([_type_of(each, name) for each in inner])
    if origin is list and len(inner) == 1:
        return _list_of(_type_of(inner[0], name))
    if origin is dict and len(inner) == 2 and inner[0] is str:
        return _dict_of(_type_of(inner[1], name))
    if origin is None and isinstance(hint, type):
        if issubclass(hint, enum.Enum):
            values = _one_of(_checked_values([each.value for each in hint], hint, name))
            members = {_key_of(each.value): each for each in hint}
            return Type(values.text, lambda value: members[_key_of(values.convert(value))])
        if hint in _PLAIN:
            return Type(_PLAIN[hint], _float if hint is float else _instance_of(hint))
    raise TypeError(
        f"argument {name!r}: a payload has nothing like {hint!r}. Its annotation may have {_TAKEN}."
    )


def _checked_values(values: list[Any], hint: Any, name: str) -> list[Any]:
    """Return the values of a Literal or an Enum.

    Raises:
        TypeError: no payload has one of them, or there are none.
    """
    if not values:
        raise TypeError(f"argument {name!r}: {hint!r} has no values, so nothing could be given.")
    for value in values:
        # Types as JSON makes them: what only looks like one is never equal to what came.
        if (value is not None and type(value) not in (str, int, float, bool)) or value != value:
            raise TypeError(
                f"argument {name!r}: a payload has nothing like {value!r}, as {hint!r} has it. "
                "Values of Literal and enums may be str, int, float (not NaN), bool and None."
            )
    return values


def _instance_of(kind: type) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        # True and False are no numbers to a device.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise _Unfit
        return value

    return convert


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Unfit
    try:
        return float(value)
    except OverflowError:
        raise _Unfit from None


def _one_of(values: list[Any]) -> Type:
    by_key = {_key_of(value): value for value in values}

    def convert(value: Any) -> Any:
        try:
            return by_key[_key_of(value)]
        except (KeyError, TypeError):
            raise _Unfit from None

    return Type(" | ".join(map(repr, values)), convert)


def _key_of(value: Any) -> Any:
    """What tells 1 from True."""
    return type(value), value


def _union(kinds: list[Type]) -> Type:
    def convert(value: Any) -> Any:
        for kind in kinds:
            try:
                return kind.convert(value)
            except _Unfit:
                pass
        raise _Unfit

    return Type(" | ".join(kind.text for kind in kinds), convert)


def _list_of(kind: Type) -> Type:
    def convert(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _Unfit
        return [kind.convert(each) for each in value]

    return Type(f"list[{kind.text}]", convert)


def _dict_of(kind: Type) -> Type:
    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _Unfit
        return {key: kind.convert(each) for key, each in value.items()}

    return Type(f"dict[str, {kind.text}]", convert)
