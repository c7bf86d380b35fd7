"""What ServerController's signals are for, values for them, and what becomes of those."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.peers import PATIENCE_S
from support.qt import HAVE_PYQT6

if HAVE_PYQT6:
    from PyQt6.QtCore import QEventLoop, QThread, QTimer

# command, key in the payload, setter of ServerLHC, slot and signal of ServerController
PAIRS = [
    ("SAVE", "path", "set_on_saving_path_changed", "on_saving_path_changed", "saving_path_changed"),
    (
        "TOGGLE SAVING",
        "saving status",
        "set_on_saving_status_toggled",
        "on_saving_status_toggled",
        "saving_status_toggled",
    ),
    ("SET", "positions", "set_on_position_changed", "on_position_changed", "position_changed"),
    ("HALT", "", "set_on_halt", "on_halt", "halt_requested"),
    ("GET", "", "set_on_get", "on_get", "get_received"),
    ("OPT", "data", "set_on_opt", "on_opt", "opt_received"),
    ("SCAN", "data", "set_on_scan", "on_scan", "scan_received"),
    (
        "SET ACT",
        "actuators",
        "set_on_set_actuators",
        "on_set_actuators",
        "set_actuators_dict_received",
    ),
    (
        "SET DIAG",
        "diagnostics",
        "set_on_set_diagnostics",
        "on_set_diagnostics",
        "set_diagnostics_dict_received",
    ),
    (
        "UPDATE ACT POS",
        "actuators",
        "set_on_update_actuator_positions",
        "on_new_actuator_pos_received",
        "actuators_pos_update_received",
    ),
]


KEYS = {cmd: key for cmd, key, *_ in PAIRS}


SIGNALS = {cmd: signal for cmd, _, _, _, signal in PAIRS}


DICT_PAIRS = [
    pair for pair in PAIRS if pair[0] not in ("SAVE", "TOGGLE SAVING", "SET", "HALT", "GET")
]


DICTS: list[dict[str, Any]] = [
    {},
    {"0": 2.5},
    {"z": 1, "a": None, "m": True},
    {"deep": {"list": [1, {"none": None}, []], "dict": {}}},
    {"é€😀": '\u0000\n"\\', "": " "},
    {"lone surrogate": "\ud800"},
    {"ints": [2**31, 2**63 - 1, -(2**63), 2**63, 2**64, 10**30, -(10**30)]},
    {"floats": [0.1, -0.0, 5e-324, 1.7976931348623157e308]},
    {"not finite": [math.nan, math.inf, -math.inf]},
    {"many": list(range(10_000))},
]


LISTS: list[list[Any]] = [
    [],
    [2.5],
    [1, 2.5, None, True, False, "text é€😀", "\ud800"],
    [[1, [2, [3]]], {"key": {"0": None}}, {}, []],
    [2**31, 2**63 - 1, -(2**63), 2**63, 2**64, 10**30, -(10**30)],
    [math.nan, math.inf, -math.inf, -0.0, 5e-324],
    [0.5] * 20_000,
]


PATHS = ["", "/data/2031-05-17/shot 7", "C:\\données\\é€😀", "a\u0000b", "\ud800", "x" * 100_000]


# No str, bool, list or dict among them.
SCALARS: list[Any] = [None, 0, 1, 10**30, 1.5, math.nan]


def same(a: Any, b: Any) -> bool:
    """Equal in value and in type, all the way down; NaN equals NaN, and 0.0 is not -0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return repr(a) == repr(b)


class Collected:
    """Collects what signals bring, with the thread it came in."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.threads: list[tuple[int, Any]] = []
        self._loop = QEventLoop()
        self._wanted = 0

    def take(self, *args: Any) -> None:
        self.put(args[0] if args else None)

    def labelled(self, label: str) -> Callable[..., None]:
        return lambda *args: self.put((label, *args))

    def put(self, value: Any) -> None:
        self.values.append(value)
        self.threads.append((threading.get_ident(), QThread.currentThread()))
        if len(self.values) >= self._wanted:
            self._loop.quit()

    def wait_for(self, count: int) -> list[Any]:
        """Let Qt deliver until `count` values are there; fail after PATIENCE_S."""
        self._wanted = count
        if len(self.values) < count:
            limit = QTimer()
            limit.setSingleShot(True)
            limit.timeout.connect(self._loop.quit)
            limit.start(int(PATIENCE_S * 1000))
            self._loop.exec()
            limit.stop()
        assert len(self.values) == count
        return self.values


# --- what a signal does not carry ----------------------------------------------------------


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    mine = [record for record in caplog.records if "not emitted" in record.message]
    assert all(record.name == "laplace.server" for record in mine)
    assert all(record.levelno == logging.ERROR for record in mine)
    return [record.message for record in mine]
