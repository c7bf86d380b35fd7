"""publish(): its usual call is compiled, and is the same method as ever."""

from __future__ import annotations

import enum
import inspect
import logging
import pydoc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
from support.peers import PATIENCE_S
from support.serving import MakeServer

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC


class Text(str):
    __slots__ = ()


class Name(str, enum.Enum):
    S = "s"


class Data(dict[str, Any]):
    pass


def frames_of(call: Callable[[], object]) -> int:
    """How many frames of Python a call of C makes."""
    made = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            made.append(frame)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return len(made) - 1  # that of the call itself


FLAT = {"x": 0.5, "n": 1, "name": "é", "on": True, "none": None}
UNUSUAL: list[Callable[[Any], int]] = [
    lambda server: server.publish("s", {"nested": [1]}),
    lambda server: server.publish("s", {"array": np.zeros(3)}, copy=False),
    lambda server: server.publish("s", {"nan": float("nan")}),
    lambda server: server.publish("s", {"long": 2**64}),
    lambda server: server.publish("s", {1: 2}),
    lambda server: server.publish("s", Data(x=1)),
    lambda server: server.publish(Text("s"), FLAT),
    lambda server: server.publish(Name.S, FLAT),
    lambda server: server.publish("s", FLAT, timestamp=1.5),
    lambda server: server.publish("s", FLAT, copy=1),
]


def test_the_usual_call_makes_no_frame(server: ServerLHC) -> None:
    usual: list[Callable[[], int]] = [
        lambda: server.publish("s", FLAT),
        lambda: server.publish("s", FLAT, copy=False),
        lambda: server.publish(stream="s", data={}),
        lambda: ServerLHC.publish(server, "s", FLAT),
    ]
    assert [frames_of(call) for call in usual] == [0] * len(usual)
    assert server.publish("s", FLAT) == len(usual) + 1


@pytest.mark.parametrize("call", UNUSUAL)
def test_any_other_call_goes_by_the_method(
    server: ServerLHC, call: Callable[[ServerLHC], int]
) -> None:
    server.publish("s", FLAT)
    assert frames_of(lambda: call(server)) > 0
    assert call(server) == 3


def test_it_declares_what_is_not_declared(server: ServerLHC) -> None:
    assert [server.publish("new", FLAT), server.publish("new", FLAT)] == [1, 2]


def test_after_the_end_it_publishes_nothing_and_says_so_once(
    server: ServerLHC, caplog: pytest.LogCaptureFixture
) -> None:
    server.publish("s", FLAT)
    server.stop()
    with caplog.at_level(logging.WARNING):
        assert [server.publish("s", FLAT), server.publish("s", FLAT)] == [0, 0]
    assert sum("goes nowhere" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize(
    "arguments", [("s", []), ("s", {"x": object()}), (b"s", FLAT), ("", FLAT), ("s",), ()]
)
def test_what_is_wrong_raises_and_publishes_nothing(
    server: ServerLHC, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(TypeError):
        server.publish(*arguments)
    assert server.publish("s", FLAT) == 1


def test_a_derived_class_has_the_last_word(make_server: MakeServer) -> None:
    class Counting(ServerLHC):
        calls = 0

        def publish(self, stream: str, data: dict[Any, Any], **options: Any) -> int:
            self.calls += 1
            return super().publish(stream, {**data, "call": self.calls}, **options)

    server = make_server(kind=Counting)
    assert [server.publish("s", {}), server.publish("s", FLAT, timestamp=1.0)] == [1, 2]
    assert server.calls == 2


def test_it_looks_like_the_method(server: ServerLHC) -> None:
    signature = inspect.signature(ServerLHC.publish)
    assert list(signature.parameters) == [
        *("self", "stream", "data", "timestamp", "copy", "lost_before")
    ]
    assert signature.return_annotation == "int"
    assert signature.parameters["copy"].default is True
    assert list(inspect.signature(server.publish).parameters) == [*signature.parameters][1:]
    assert inspect.isroutine(ServerLHC.publish)
    assert inspect.ismethod(server.publish)
    assert server.publish == server.publish
    assert ServerLHC.publish.__qualname__ == "ServerLHC.publish"
    assert ServerLHC.publish.__module__ == "laplace_server.server_lhc"
    assert "sequence number" in pydoc.render_doc(ServerLHC.publish)
    assert inspect.getsourcefile(inspect.unwrap(ServerLHC.publish)) == inspect.getsourcefile(
        ServerLHC
    )


@pytest.mark.parametrize("policy", ["gap", "block"])
def test_who_hands_on_says_what_is_missing(
    server: ServerLHC, client: ClientLHC, policy: str
) -> None:
    """Whoever follows is told of the loss: who is there already, and who comes later."""
    server.declare_stream("s", policy=policy)
    expected = []
    with client.subscribe("s", start="oldest") as early:
        number = 0
        for n in range(200):
            lost = {0: 2, 1: 1, 2: 500}.get(n % 7, 0)
            number += lost + 1
            data = {"n": n, **({"array": np.arange(n)} if n % 5 == 0 else {})}
            assert server.publish("s", data, lost_before=lost) == number
            expected.append((number, lost, n))
        with client.subscribe("s", start="oldest") as late:
            for subscription in (early, late):
                got = [subscription.next(PATIENCE_S) for _ in expected]
                assert [(each.seq, each.lost_before, each.data["n"]) for each in got] == expected
                assert subscription.lost == sum(lost for _, lost, _ in expected)
                assert subscription.lag == 0
    with client.subscribe("s", start=4) as within:  # a number that was left out
        update = within.next(PATIENCE_S)
        assert (update.seq, update.lost_before) == (5, 1)
    assert server.publish("s", {"n": 0}) == number + 1


def test_wrong_numbers_of_lost_updates(server: ServerLHC) -> None:
    with pytest.raises(TypeError, match="'lost_before' must be int, not float"):
        server.publish("s", {}, lost_before=1.5)  # type: ignore[arg-type]
    for wrong in (-1, 2**33):
        with pytest.raises(ValueError, match="'lost_before' must be from 0 to 4294967296"):
            server.publish("s", {"a": [1]}, lost_before=wrong)
    assert server.publish("s", {}) == 1
    with pytest.raises(TypeError):
        server.publish("s", {"a": object()}, lost_before=3)
    assert server.publish("s", {}) == 2, "what was not published leaves no gap"
