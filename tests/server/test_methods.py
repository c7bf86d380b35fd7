"""Methods: functions that clients call by name, with arguments that are checked."""

from __future__ import annotations

import dataclasses
import enum
import functools
import logging
import math
import threading
import typing
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Optional, Union

import numpy as np
import pytest
from support.async_callables import ASYNC
from support.commands import BadText
from support.peers import Connect, ask
from support.rights import logged, secured
from support.serving import MakeServer, serving
from support.waiting import eventually

from laplace_server import ServerLHC
from laplace_server.server.annotations import Argument, arguments_of, checked_arguments
from laplace_server.stats import CommandStats, ErrorKind
from laplace_server.wire.commands import COMMANDS


class Speed(enum.Enum):
    SLOW = "slow"
    FAST = 2


class Text(str, enum.Enum):
    A = "a"


class Lists(enum.Enum):
    A = [1]  # noqa: RUF012


class Tuples(enum.Enum):
    A = "a"
    B = (1, 2)


class Objects(enum.Enum):
    A = object()


class NotANumber(enum.Enum):
    A = math.nan


class NumPys(enum.Enum):
    A = np.float64(1.5)


class Empty(enum.Enum): ...


# ---- what annotations take

# The annotation, what is taken and becomes what the function gets, what is not.
TYPES: list[tuple[Any, str, list[tuple[Any, Any]], list[Any]]] = [
    (int, "int", [(1, 1), (-(10**30), -(10**30))], [1.0, True, "1", None, [1]]),
    (float, "float", [(1.5, 1.5), (2, 2.0), (math.inf, math.inf)], [True, "1", None, 10**400]),
    (str, "str", [("", ""), ("é", "é")], [1, None, ["a"]]),
    (bool, "bool", [(True, True), (False, False)], [0, 1, "true", None]),
    (list, "list", [([], []), ([1, "a"], [1, "a"])], ["ab", {}, None]),
    (dict, "dict", [({}, {}), ({"a": [1]}, {"a": [1]})], [[], "a", None]),
    (typing.List, "list", [([], []), ([1, "a"], [1, "a"])], ["ab", {}, None]),  # noqa: UP006
    (typing.Dict, "dict", [({}, {}), ({"a": [1]}, {"a": [1]})], [[], "a", None]),  # noqa: UP006
    (Optional[typing.List], "list | None", [([1], [1]), (None, None)], ["ab", {}]),  # noqa: UP006, UP045
    (dict[str, typing.List], "dict[str, list]", [({"a": [1]}, {"a": [1]})], [{"a": 1}]),  # noqa: UP006
    ("list[typing.Dict]", "list[dict]", [([{}], [{}])], [[[]], {}]),
    (list[float], "list[float]", [([1, 2.5], [1.0, 2.5]), ([], [])], [["a"], 1, [None]]),
    (dict[str, int], "dict[str, int]", [({"a": 1}, {"a": 1})], [{"a": "1"}, [1]]),
    (list[list[int]], "list[list[int]]", [([[1], []], [[1], []])], [[1], [["a"]]]),
    (Any, "any", [(1, 1), (None, None), ([{}], [{}])], []),
    (None, "None", [(None, None)], [0, False, ""]),
    (Optional[int], "int | None", [(1, 1), (None, None)], ["1", 1.5]),  # noqa: UP045
    (int | str, "int | str", [(1, 1), ("a", "a")], [None, 1.5]),
    (Union[bool, list[int]], "bool | list[int]", [(True, True), ([1], [1])], [1]),  # noqa: UP007
    (Literal["x", 1], "'x' | 1", [("x", "x"), (1, 1)], [True, 1.0, "y", [1], None]),
    (Speed, "'slow' | 2", [("slow", Speed.SLOW), (2, Speed.FAST)], ["SLOW", 2.0, None, []]),
    (Text, "'a'", [("a", Text.A)], ["A", None]),
]


def of_annotation(annotation: Any) -> tuple[Argument, ...]:
    def function(value: Any) -> None: ...

    function.__annotations__ = {"value": annotation}
    return arguments_of(function)


@pytest.mark.transports("tcp")
@pytest.mark.parametrize(("annotation", "text", "taken", "refused"), TYPES, ids=lambda v: str(v))
def test_types(
    annotation: Any, text: str, taken: list[tuple[Any, Any]], refused: list[Any]
) -> None:
    arguments = of_annotation(annotation)
    (description,) = [each.description for each in arguments]
    assert (description.name, description.type, description.required) == ("value", text, True)
    for given, got in taken:
        value = checked_arguments(arguments, {"value": given})["value"]
        assert (value, type(value)) == (got, type(got))
    for given in refused:
        with pytest.raises(ValueError, match=r"^argument 'value' must be ") as raised:
            checked_arguments(arguments, {"value": given})
        assert f"must be {text}, not " in str(raised.value)


@pytest.mark.transports("tcp")
@pytest.mark.parametrize(
    "annotation",
    [
        *(bytes, set, tuple, object, complex, np.ndarray, dict[int, str], list[bytes]),
        *(Literal[b"x"], Literal[Text.A], Callable[[], None], "int | bytes"),
        *(dict[str], list[int, str], dict[str, int, int], [int]),  # type: ignore[type-arg]
        *(Literal[[1]], Literal[1, {}], Lists, Tuples, Objects, NotANumber, NumPys),  # type: ignore[valid-type]
        *("typing.List[bytes]", Lists | None, typing.Tuple, typing.Set),  # noqa: UP006
    ],
    ids=str,
)
def test_what_json_has_nothing_like_is_refused(annotation: Any) -> None:
    with pytest.raises(TypeError, match="argument 'value': a payload has nothing like"):
        of_annotation(annotation)


@pytest.mark.transports("tcp")
def test_values_that_no_payload_has_are_named() -> None:
    with pytest.raises(TypeError, match=r"like \[1\], as <enum 'Lists'> has it. Values of Literal"):
        of_annotation(Lists)
    with pytest.raises(TypeError, match="<enum 'Empty'> has no values"):
        of_annotation(Empty)


@pytest.mark.transports("tcp")
@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        ("list[", "list\\["),
        ("typing.Nope", "'Nope'"),
        ("Nope", "name 'Nope' is not defined"),
        ("1 / 0", "division by zero"),
        ("typing.ClassVar[int]", "ClassVar"),
    ],
)
def test_annotations_that_cannot_be_read(annotation: str, why: str) -> None:
    with pytest.raises(TypeError, match=f"the annotations of .* cannot be read: .*{why}.*types"):
        of_annotation(annotation)


@pytest.mark.transports("tcp")
def test_a_literal_that_some_pythons_can_read() -> None:
    why = r"cannot be read: .*unhashable.*types|has nothing like \[1\], as typing"
    with pytest.raises(TypeError, match=why):
        of_annotation("Optional[Literal[[1]]]")


def no_annotation(axis) -> None: ...  # type: ignore[no-untyped-def]
def by_place(axis: int, /) -> None: ...
def any_number(*axes: int) -> None: ...
def any_name(**axes: int) -> None: ...
def its_time(timeout_s: float) -> None: ...
def bad_default(axis: Any = object()) -> None: ...  # noqa: B008
def unknown(axis: NoSuchType) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.transports("tcp")
@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (no_annotation, TypeError, "argument 'axis' needs an annotation, such as 'axis: float'"),
        (by_place, TypeError, "cannot be given by its name"),
        (any_number, TypeError, "cannot be given by its name"),
        (any_name, TypeError, "cannot be given by its name"),
        (its_time, ValueError, "may be called 'timeout_s'"),
        (bad_default, TypeError, "the default of argument 'axis' cannot be told"),
        (unknown, TypeError, "cannot be read: name 'NoSuchType' is not defined"),
        (5, TypeError, "must be callable"),
        *((each, TypeError, "must not be async") for each in ASYNC),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:20]),
)
def test_functions_that_are_no_methods(
    make_server: MakeServer, function: Any, error: type[Exception], text: str
) -> None:
    server = make_server(start=False)
    with pytest.raises(error, match=text):
        server.command("HOME")(function)
    assert "HOME" not in server.capabilities


class Stage:
    def home(self, axis: int, speed: float = 5.0) -> list[Any]:
        """Home."""
        return [axis, speed]

    def __call__(self, axis: int) -> int:
        return axis


class Made:
    unread: Nope  # type: ignore[name-defined]  # noqa: F821

    def __init__(self, axis: int) -> None: ...


class Inherits(Made):
    def home(self, speed: float) -> None: ...


class WithNew:
    def __new__(cls, axis: int) -> WithNew:
        return super().__new__(cls)


class Point(NamedTuple):
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Plain:
    axis: int


class Derived(Plain): ...


class Silent:
    unread: Nope  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.transports("tcp")
@pytest.mark.parametrize(
    ("function", "written"),
    [
        (Stage().home, "F(axis: int, speed: float = 5.0)"),
        (functools.partial(Stage().home, speed=2.0), "F(axis: int, speed: float = 2.0)"),
        (Stage(), "F(axis: int)"),
        (lambda: 1, "F()"),
        (Stage, "F()"),
        *((each, "F(axis: int)") for each in (Made, Inherits, WithNew, Plain, Derived)),
        (functools.partial(Inherits), "F(axis: int)"),
        (Point, "F(x: float, y: float = 0.0)"),
        (Silent, "F()"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_callables_of_every_kind(make_server: MakeServer, function: Any, written: str) -> None:
    server = make_server(start=False)
    assert server.command("F")(function) is function
    assert str(server._handlers["F"].description) == written


# ---- served


def test_a_method_is_called_with_its_arguments(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    threads: list[int | None] = []

    @server.command("HOME")
    def home(axis: int, *, speed: float = 5.0, how: Speed = Speed.SLOW) -> dict[str, Any]:
        """Send an axis home.

        At its speed.
        """
        threads.append(threading.get_ident())
        return {"axis": axis, "speed": speed, "how": how.name, "there": np.array([1.5, 2])}

    client = connect(server)
    reply = client.ask("HOME", {"axis": 1, "how": 2})
    there = {"axis": 1, "speed": 5.0, "how": "FAST", "there": [1.5, 2.0]}
    assert (reply["payload"], reply["error_msg"]) == ({"result": there}, None)
    assert client.ask("HOME", {"axis": 0, "speed": 1})["payload"]["result"]["speed"] == 1.0
    assert threads == [server.ident] * 2
    assert home(3)["axis"] == 3, "it stays the function that it was"
    info = client.info()
    assert info["methods"] == {
        "HOME": {
            "text": "Send an axis home.\n\nAt its speed.",
            "arguments": [
                {"name": "axis", "type": "int"},
                {"name": "speed", "type": "float", "default": 5.0},
                {"name": "how", "type": "'slow' | 2", "default": "slow"},
            ],
        }
    }
    assert info["capabilities"][-1] == "HOME"
    assert client.ask("INFO", {"long": 10**30})["payload"] == info
    assert eventually(lambda: server.stats().commands["HOME"] == CommandStats(native=0, python=2))


def test_a_payload_that_does_not_fit_is_refused(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    calls: list[Any] = []

    @server.command("HOME")
    def home(axis: int, speed: float = 5.0) -> None:
        calls.append((axis, speed))

    has = "there are: axis: int, speed: float = 5.0."
    wrong: list[tuple[Any, str]] = [
        ({}, f"argument 'axis' is missing; {has}"),
        ({"speed": 1}, f"argument 'axis' is missing; {has}"),
        ({"axis": 1, "axes": 2}, f"there is no argument 'axes'; {has}"),
        ({"axis": "1"}, "argument 'axis' must be int, not '1'."),
        ({"axis": 1, "speed": None}, "argument 'speed' must be float, not None."),
        ([], "arguments are an object, not []."),
        ("text", "arguments are an object, not 'text'."),
        (
            {"axis": "x" * 10_000},
            "argument 'axis' must be int, not 'xxxxxxxxxxxx...xxxxxxxxxxxxx'.",
        ),
    ]
    client = connect(server)
    for payload, text in wrong:
        error = client.ask("HOME", payload)["error_msg"]
        assert error == f"HOME: {text}"
    assert calls == []
    assert server.stats().callback_errors == {}
    assert eventually(lambda: server.stats().errors[ErrorKind.PAYLOAD] >= len(wrong) - 2)
    assert client.ask("HOME", {"axis": 1})["payload"] == {"result": None}
    assert calls == [(1, 5.0)]


@pytest.mark.parametrize("callback_errors", ["log", "reply"])
@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (ValueError("no axis 7"), "ValueError: no axis 7"),
        (SystemExit(1), "SystemExit: 1"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (BadText(), "BadText"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_method_raises_is_logged_counted_and_told(
    make_server: MakeServer,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    callback_errors: str,
    problem: BaseException,
    text: str,
) -> None:
    server = make_server(callback_errors=callback_errors)

    @server.command("HOME")
    def home() -> None:
        raise problem

    client = connect(server)
    for count in (1, 2):
        assert client.ask("HOME")["error_msg"].startswith(text)
        assert server.stats().callback_errors == {"HOME": count}
        assert client.info()["callback_errors"] == {"HOME": count}
    assert len(logged(caplog, "HOME raised.", level=logging.ERROR)) == 2
    assert client.ask("PING")["error_msg"] is None


def test_a_method_that_has_answered_by_itself(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()

    @server.command("OWN")
    def own(fails: bool) -> None:
        server.socket.send_json({"mine": 1})
        if fails:
            raise ValueError("after the reply")

    client = connect(server)
    for fails in (False, True):
        assert client.ask("OWN", {"fails": fails}) == {"mine": 1}
    assert server.stats().callback_errors == {"OWN": 1}


def test_what_cannot_be_sent_is_an_error(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    server.command("OBJECT")(object)
    server.command("BYTES")(lambda: b"x")
    client = connect(server)
    for name in ("OBJECT", "BYTES"):
        assert "TypeError" in client.ask(name)["error_msg"]
    assert client.ask("PING")["error_msg"] is None


def test_data_that_a_method_sets_is_in_the_next_get(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(data={"x": [0]})
    positions = [0]
    server.set_data({"x": positions})

    @server.command("MOVE")
    def move(to: int) -> None:
        positions[0] = to

    client = connect(server)
    for n in range(20):
        client.ask("MOVE", {"to": n})
        assert client.get() == {"x": [n]}


@pytest.mark.transports("tcp")
@pytest.mark.parametrize("name", COMMANDS)
def test_names_of_commands_are_taken(make_server: MakeServer, name: str) -> None:
    server = make_server(start=False)
    server.set_on_halt(lambda: None)
    built_in = server._handlers[name]
    with pytest.raises(ValueError, match="is a command of every server"):
        server.command(name)
    assert server._handlers[name] is built_in


@pytest.mark.transports("tcp")
def test_names_are_texts_and_taken_once(make_server: MakeServer) -> None:
    server = make_server(start=False)
    for name in (5, "", None, ["HOME"]):
        with pytest.raises(TypeError, match="a method's name is a non-empty str"):
            server.command(name)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="as in command\\('HOME'\\)"):
        server.command(lambda: 1)  # type: ignore[arg-type]
    first, second = server.command("HOME"), server.command("HOME")
    first(lambda: 1)
    with pytest.raises(ValueError, match="there is a command 'HOME' already"):
        second(lambda: 2)
    server.register_handler("OWN", lambda *_: None)
    for name in ("HOME", "OWN"):
        with pytest.raises(ValueError, match=f"there is a command '{name}' already"):
            server.command(name)


def test_info_has_the_methods_that_there_are(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server)
    assert "methods" not in client.info()
    server.command("A")(lambda: 1)
    server.command("B")(lambda: 2)
    assert list(client.info()["methods"]) == ["A", "B"]
    server.register_handler("A", lambda *_: {"by": "hand"})
    assert list(client.info()["methods"]) == ["B"]
    assert client.ask("A")["payload"] == {"by": "hand"}
    handlers = server._handlers.copy()
    del server._handlers["B"]
    assert "methods" not in client.info()
    assert client.ask("B")["error_msg"] == "Unknown command"
    server._handlers = handlers  # type: ignore[assignment]
    assert list(client.info()["methods"]) == ["B"]
    assert client.ask("INFO", {"long": 10**30})["payload"] == client.info()

    def refreshes() -> int:
        before = server.stats().refreshes
        client.info()
        return server.stats().refreshes - before

    assert eventually(lambda: refreshes() == 0)


@pytest.mark.transports("tcp")
def test_operators_may_call_methods() -> None:
    for role, permitted in (("view", False), ("operate", True), ({"HOME"}, True)):
        with serving(security=secured(role)) as server:
            server.command("HOME")(lambda: 7)
            reply = ask(server, "HOME")
            assert (reply["payload"] == {"result": 7}) is permitted
            assert ("not permitted" in (reply["error_msg"] or "")) is not permitted


def test_a_derived_class_makes_methods_of_its_own(
    make_server: MakeServer, connect: Connect
) -> None:
    class Homing(ServerLHC):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.command("HOME")(self.home)

        def home(self, axis: int) -> str:
            return f"{self.name} {axis}"

    reply = connect(make_server(kind=Homing)).ask("HOME", {"axis": 2})
    assert reply["payload"] == {"result": "tested 2"}
