"""ServerController: values and threads on their way from a client to a slot in the GUI thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.controller import (
    DICT_PAIRS,
    DICTS,
    LISTS,
    PAIRS,
    PATHS,
    SCALARS,
    SIGNALS,
    Collected,
    logged,
    same,
)
from support.qt import HAVE_PYQT6, needs_pyqt6

from laplace_server import ServerLHC

if HAVE_PYQT6:
    from PyQt6.QtWidgets import QApplication

    from laplace_server.server_controller import ServerController

Ask = Callable[..., Any]


@needs_pyqt6
def test_signals_cross_to_the_gui_thread(
    app: QApplication, controller: ServerController, controlled: ServerLHC, ask: Ask
) -> None:
    callback_threads: list[int] = []
    collected = Collected()
    for _, _, setter, slot, signal in PAIRS:

        def callback(*args: Any, slot: str = slot) -> None:
            callback_threads.append(threading.get_ident())
            getattr(controller, slot)(*args)

        getattr(controlled, setter)(callback)
        getattr(controller, signal).connect(collected.labelled(signal))

    values = {"SAVE": "/data", "TOGGLE SAVING": True, "SET": [1.0, 2.0]}
    for cmd, *_ in PAIRS:
        ask(cmd, values.get(cmd, {"of": cmd}))
    # All is answered, and yet nothing has run in this thread: the slots wait for its event loop.
    assert collected.values == []
    got = collected.wait_for(len(PAIRS))

    assert [label for label, *_ in got] == [signal for *_, signal in PAIRS]
    halted = callback_threads.pop([cmd for cmd, *_ in PAIRS].index("HALT"))
    assert set(callback_threads) == {controlled.ident} != {halted}
    assert len(callback_threads) == len(PAIRS) - 1
    for ident, qthread in collected.threads:
        assert ident == threading.get_ident() != controlled.ident
        assert qthread is app.thread()
    arrived = {label: args for label, *args in got}
    assert arrived["saving_path_changed"] == ["/data"]
    assert arrived["saving_status_toggled"] == [True]
    assert arrived["position_changed"] == [[1.0, 2.0]]
    assert arrived["halt_requested"] == []
    assert arrived["get_received"] == []
    assert arrived["opt_received"] == [{"of": "OPT"}]
    assert arrived["set_actuators_dict_received"] == [{"of": "SET ACT"}]
    assert arrived["set_diagnostics_dict_received"] == [{"of": "SET DIAG"}]
    assert arrived["actuators_pos_update_received"] == [{"of": "UPDATE ACT POS"}]


@needs_pyqt6
@pytest.mark.parametrize("cmd", [pair[0] for pair in DICT_PAIRS])
def test_dicts_arrive_untouched(controller: ServerController, ask: Ask, cmd: str) -> None:
    collected = Collected()
    getattr(controller, SIGNALS[cmd]).connect(collected.take)
    for value in DICTS:
        ask(cmd, value)
    for sent, got in zip(DICTS, collected.wait_for(len(DICTS)), strict=True):
        # SCAN brings the whole message, the others their value.
        arrived = got["payload"]["data"] if cmd == "SCAN" else got
        assert same(arrived, sent)
        assert list(arrived) == list(sent)  # the order of the keys too


@needs_pyqt6
def test_scan_brings_the_whole_message(controller: ServerController, ask: Ask) -> None:
    collected = Collected()
    controller.scan_received.connect(collected.take)
    ask("SCAN", {"steps": 3})
    [message] = collected.wait_for(1)
    assert message["from"] == "tester"
    assert message["cmd"] == "SCAN"
    assert message["payload"] == {"data": {"steps": 3}}


@needs_pyqt6
def test_lists_of_positions_arrive_untouched(controller: ServerController, ask: Ask) -> None:
    collected = Collected()
    controller.position_changed.connect(collected.take)
    for value in LISTS:
        ask("SET", value)
    for sent, got in zip(LISTS, collected.wait_for(len(LISTS)), strict=True):
        assert same(got, sent)


@needs_pyqt6
def test_paths_and_saving_status_arrive_untouched(controller: ServerController, ask: Ask) -> None:
    collected = Collected()
    controller.saving_path_changed.connect(collected.take)
    controller.saving_status_toggled.connect(collected.take)
    sent = [*PATHS, True, False]
    for path in PATHS:
        ask("SAVE", path)
    ask("TOGGLE SAVING", True)
    ask("TOGGLE SAVING", False)
    assert all(map(same, collected.wait_for(len(sent)), sent))


@needs_pyqt6
def test_order_is_kept_across_signals(controller: ServerController, ask: Ask) -> None:
    collected = Collected()
    controller.position_changed.connect(lambda value: collected.put(value[0]))
    controller.opt_received.connect(lambda value: collected.put(value["n"]))
    controller.saving_path_changed.connect(lambda value: collected.put(int(value)))
    for n in range(0, 300, 3):
        ask("SET", {"0": n})
        ask("OPT", {"n": n + 1})
        ask("SAVE", str(n + 2))
    assert collected.wait_for(300) == list(range(300))


@needs_pyqt6
@pytest.mark.parametrize(
    ("slot", "signal", "taken"),
    [
        ("on_saving_path_changed", "saving_path_changed", str),
        ("on_saving_status_toggled", "saving_status_toggled", bool),
        ("on_position_changed", "position_changed", list),
        *((slot, signal, dict) for _, _, _, slot, signal in DICT_PAIRS),
    ],
)
def test_other_types_are_logged_and_not_emitted(
    controller: ServerController,
    caplog: pytest.LogCaptureFixture,
    slot: str,
    signal: str,
    taken: type,
) -> None:
    others = [*SCALARS, *({str: "1", bool: True, list: [1], dict: {"a": 1}}.values())]
    others = [value for value in others if type(value) is not taken]
    got: list[Any] = []
    getattr(controller, signal).connect(got.append)
    for value in others:
        getattr(controller, slot)(value)
    assert got == []
    messages = logged(caplog)
    assert len(messages) == len(others)
    assert all(message.startswith(f"'{signal}' not emitted") for message in messages)


@needs_pyqt6
def test_client_is_answered_when_nothing_is_emitted(
    controller: ServerController, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    collected = Collected()
    controller.position_changed.connect(collected.take)
    controller.opt_received.connect(collected.take)
    assert ask("SET", {"x": 1.0})["msg"] == "Positions updated."
    assert ask("SET", "everything")["msg"] == "Positions updated."
    assert ask("OPT", [1])["payload"] == {}
    ask("SET", [7])
    assert collected.wait_for(1) == [[7]]
    assert len(logged(caplog)) == 3
