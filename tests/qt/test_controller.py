"""ServerController as Qt sees it: its import, signals and slots."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.controller import DICT_PAIRS, PAIRS
from support.qt import HAVE_PYQT6, needs_pyqt6

from laplace_server.protocol import LOGGER_NAME

if HAVE_PYQT6:
    from PyQt6.QtCore import QObject, pyqtSlot
    from PyQt6.QtWidgets import QApplication, QCheckBox

    from laplace_server.server_controller import ServerController

pytestmark = pytest.mark.transports()

Ask = Callable[..., Any]


# --- importing -----------------------------------------------------------------------------


def run_python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_package_does_not_import_pyqt6(tmp_path: Path) -> None:
    code = (
        "import sys, laplace_server, laplace_server.server_lhc, laplace_server.client\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'PyQt6'])"
    )
    assert run_python(code, tmp_path).strip() == "[]"


def test_without_pyqt6_the_import_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['PyQt6'] = None\n"  # makes every import of it fail
        "import laplace_server\n"
        "try:\n"
        "    import laplace_server.server_controller\n"
        "except ImportError as error:\n"
        "    print(error.name, '|', error)\n"
    )
    printed = run_python(code, tmp_path)
    assert printed.startswith("PyQt6 |")
    assert "pip install '.[qt]'" in printed


@needs_pyqt6
@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
@pytest.mark.parametrize("problem", [RuntimeError("deleted"), SystemExit(1)], ids=repr)
def test_slots_whatever_the_log_raises(
    monkeypatch: pytest.MonkeyPatch, problem: BaseException, level: int
) -> None:
    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise problem

    log = logging.getLogger(LOGGER_NAME)
    monkeypatch.setattr(log, "handlers", [Failing()])
    monkeypatch.setattr(log, "level", level)
    log.manager._clear_cache()  # type: ignore[attr-defined]
    controller = ServerController()
    emitted: list[str] = []
    for _, _, _, slot, signal in PAIRS:
        if slot in ("on_get", "on_halt"):
            continue
        getattr(controller, signal).connect(lambda value, signal=signal: emitted.append(signal))
        getattr(controller, slot)(1.5)
        getattr(controller, slot)(object())
    assert emitted == []
    for _, _, _, slot, signal in DICT_PAIRS:
        getattr(controller, slot)({"a": 1})
        assert emitted.pop() == signal
    log.manager._clear_cache()  # type: ignore[attr-defined]


# --- names and signatures ------------------------------------------------------------------


@needs_pyqt6
def test_signal_signatures() -> None:
    # The C++ types decide which decorated slots may be connected; but for the new
    # saving_status_toggled and halt_requested they are those of 0.2.0.
    meta = ServerController.staticMetaObject
    own = range(meta.methodOffset(), meta.methodCount())
    assert {meta.method(i).methodSignature().data() for i in own} == {
        b"saving_path_changed(QString)",
        b"saving_status_toggled(bool)",
        b"position_changed(QVariantList)",
        b"halt_requested()",
        b"get_received()",
        b"opt_received(PyQt_PyObject)",
        b"scan_received(PyQt_PyObject)",
        b"set_actuators_dict_received(PyQt_PyObject)",
        b"set_diagnostics_dict_received(PyQt_PyObject)",
        b"actuators_pos_update_received(PyQt_PyObject)",
    }


@needs_pyqt6
def test_parent_owns_the_controller(app: QApplication) -> None:
    parent = QObject()
    assert ServerController(parent).parent() is parent
    assert ServerController(parent=None).parent() is None


@needs_pyqt6
def test_decorated_slots_and_widgets_connect(controller: ServerController) -> None:
    got: list[tuple[str, Any]] = []

    class Window(QObject):
        @pyqtSlot(str)
        def path(self, value: str) -> None:
            got.append(("path", value))

        @pyqtSlot(bool)
        def saving(self, value: bool) -> None:
            got.append(("saving", value))

        @pyqtSlot(list)
        def positions(self, value: list[Any]) -> None:
            got.append(("positions", value))

        @pyqtSlot(dict)
        def as_dict(self, value: dict[str, Any]) -> None:
            got.append(("dict", value))

        @pyqtSlot(object)
        def as_object(self, value: object) -> None:
            got.append(("object", value))

        @pyqtSlot()
        def nothing(self) -> None:
            got.append(("nothing", None))

    window, box = Window(), QCheckBox()
    controller.saving_path_changed.connect(window.path)
    controller.saving_status_toggled.connect(window.saving)
    controller.saving_status_toggled.connect(box.setChecked)
    controller.position_changed.connect(window.positions)
    controller.get_received.connect(window.nothing)
    controller.on_saving_path_changed("/data")
    controller.on_saving_status_toggled(True)
    controller.on_position_changed({"0": 2.5})
    controller.on_get()
    assert got == [("path", "/data"), ("saving", True), ("positions", [2.5]), ("nothing", None)]
    assert box.isChecked()

    for _, _, _, slot, signal in DICT_PAIRS:
        got.clear()
        getattr(controller, signal).connect(window.as_dict)
        getattr(controller, signal).connect(window.as_object)
        getattr(controller, slot)({"a": 1})
        assert got == [("dict", {"a": 1}), ("object", {"a": 1})]
