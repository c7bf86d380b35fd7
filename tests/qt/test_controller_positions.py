"""ServerController: dicts of positions become lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.controller import Collected, logged, same
from support.qt import HAVE_PYQT6, needs_pyqt6

if HAVE_PYQT6:
    from laplace_server.server_controller import MAX_NESTING, MAX_POSITIONS, ServerController

pytestmark = pytest.mark.transports()

Ask = Callable[..., Any]


@needs_pyqt6
@pytest.mark.parametrize(
    ("sent", "emitted"),
    [
        ({"0": 2.5}, [2.5]),
        ({"1": 1.0, "0": 2.0}, [2.0, 1.0]),
        ({"2": 1.0}, [None, None, 1.0]),
        ({"0": None, "1": {"0": 1}}, [None, {"0": 1}]),
        ({"10": 10, "9": 9, "2": 2}, [None, None, 2, None, None, None, None, None, None, 9, 10]),
        ({}, []),
    ],
)
def test_dict_of_positions_becomes_a_list(
    controller: ServerController, ask: Ask, sent: dict[str, Any], emitted: list[Any]
) -> None:
    collected = Collected()
    controller.position_changed.connect(collected.take)
    ask("SET", sent)
    [got] = collected.wait_for(1)
    assert same(got, emitted)


@needs_pyqt6
def test_highest_index(controller: ServerController) -> None:
    got: list[list[Any]] = []
    controller.position_changed.connect(got.append)
    controller.on_position_changed({str(MAX_POSITIONS - 1): 1.5})
    assert got == [[None] * (MAX_POSITIONS - 1) + [1.5]]


REFUSED_KEYS: list[Any] = [
    "999999999",
    "9" * 5000,
    "-1",
    "+1",
    "-0",
    "01",
    "00",
    "1.0",
    "1e0",
    " 1",
    "1\n",
    "",
    "x",
    "²",
    "٣",  # a decimal digit to str.isdecimal() and int()
    "1_0",
    "0x1",
    "None",
    None,
    1,
]


@needs_pyqt6
@pytest.mark.parametrize("key", REFUSED_KEYS, ids=lambda key: f"{key!a:.12}")
@pytest.mark.parametrize("others", [{}, {"0": 1.0, "1": 2.0}], ids=["alone", "among others"])
def test_other_keys_are_logged_and_not_emitted(
    controller: ServerController,
    caplog: pytest.LogCaptureFixture,
    key: Any,
    others: dict[Any, float],
) -> None:
    got: list[Any] = []
    controller.position_changed.connect(got.append)
    controller.on_position_changed({**others, key: 2.5})
    controller.on_position_changed({key: 2.5, **others})
    assert got == []
    first, second = logged(caplog)
    assert first == second
    assert "'position_changed' not emitted: position key" in first
    assert len(first) < 200


@needs_pyqt6
def test_first_index_refused(
    controller: ServerController, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Any] = []
    controller.position_changed.connect(got.append)
    controller.on_position_changed({str(MAX_POSITIONS): 1.5})
    assert got == []
    assert len(logged(caplog)) == 1


def nested(depth: int, link: Callable[[Any], Any]) -> list[Any]:
    """A list with lists or dicts in it, `depth` levels in all."""
    value: Any = [1.5]
    for _ in range(depth - 1):
        value = link(value)
    return value if isinstance(value, list) else [value]


@needs_pyqt6
def test_nesting_has_a_bound(
    controller: ServerController, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Any] = []
    controller.position_changed.connect(got.append)
    controller.on_position_changed(nested(MAX_NESTING, lambda value: [value]))
    assert same(got, [nested(MAX_NESTING, lambda value: [value])])

    got.clear()
    itself: list[Any] = []
    itself += [itself, itself]
    controller.on_position_changed(nested(MAX_NESTING + 1, lambda value: [value]))
    controller.on_position_changed({"0": nested(MAX_NESTING, lambda value: [value])})
    # Deep enough to overflow the C stack inside PyQt.
    controller.on_position_changed(nested(50_000, lambda value: [value]))
    controller.on_position_changed(nested(50_000, lambda value: {"a": value}))
    controller.on_position_changed(itself)
    assert got == []
    messages = logged(caplog)
    assert len(messages) == 5
    assert all(f"nested deeper than {MAX_NESTING} levels" in message for message in messages)
