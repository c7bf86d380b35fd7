"""ServerController: values and threads on their way from a client to a slot in the GUI thread."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from laplace_server import ServerLHC
from laplace_server.protocol import LOGGER_NAME, PROTOCOL_VERSION

# Before Qt is loaded: there is no screen where tests run.
os.environ["QT_QPA_PLATFORM"] = "offscreen"

HAVE_PYQT6 = importlib.util.find_spec("PyQt6") is not None
needs_pyqt6 = pytest.mark.skipif(not HAVE_PYQT6, reason="PyQt6 is not installed")

if HAVE_PYQT6:
    from PyQt6.QtCore import QEventLoop, QObject, QThread, QTimer, pyqtSlot
    from PyQt6.QtWidgets import QApplication, QCheckBox

    from laplace_server.server_controller import MAX_NESTING, MAX_POSITIONS, ServerController

PATIENCE_S = 20.0

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
DICT_PAIRS = [pair for pair in PAIRS if pair[0] not in ("SAVE", "TOGGLE SAVING", "SET", "GET")]

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


class Inbox:
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


class Client:
    """A plain REQ client, as in the field."""

    def __init__(self, port: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVTIMEO, int(PATIENCE_S * 1000))
        self._socket.connect(f"tcp://127.0.0.1:{port}")

    def ask(self, cmd: str, value: Any = None) -> dict[str, Any]:
        request = {
            "from": "client",
            "to": "device",
            "cmd": cmd,
            "payload": {KEYS[cmd]: value} if KEYS.get(cmd) else {},
            "version": PROTOCOL_VERSION,
            "error_msg": None,
            "msg": None,
        }
        self._socket.send(json.dumps(request).encode())
        reply: dict[str, Any] = json.loads(self._socket.recv())
        assert reply["error_msg"] is None
        return reply

    def close(self) -> None:
        self._socket.close()
        self._context.term()


@pytest.fixture(scope="module")
def app() -> QApplication:
    instance = QApplication.instance()
    return instance if isinstance(instance, QApplication) else QApplication(["tests"])


@pytest.fixture
def controller(app: QApplication) -> ServerController:
    return ServerController()


@pytest.fixture
def server(controller: ServerController) -> Iterator[ServerLHC]:
    """A running server with every callback set to the controller's slot."""
    server = ServerLHC(
        name="device", address="tcp://127.0.0.1:*", freedom=3, device="MOTOR", data={"x": 1}
    )
    for _, _, setter, slot, _ in PAIRS:
        getattr(server, setter)(getattr(controller, slot))
    server.start()
    yield server
    server.stop()
    server.join(PATIENCE_S)
    assert not server.is_alive()


@pytest.fixture
def client(server: ServerLHC) -> Iterator[Client]:
    client = Client(server.server_port)
    yield client
    client.close()


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
        if slot == "on_get":
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
    # saving_status_toggled they are those of 0.2.0.
    meta = ServerController.staticMetaObject
    own = range(meta.methodOffset(), meta.methodCount())
    assert {meta.method(i).methodSignature().data() for i in own} == {
        b"saving_path_changed(QString)",
        b"saving_status_toggled(bool)",
        b"position_changed(QVariantList)",
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


# --- from a client to the GUI thread -------------------------------------------------------


@needs_pyqt6
def test_signals_cross_to_the_gui_thread(
    app: QApplication, controller: ServerController, server: ServerLHC, client: Client
) -> None:
    callback_threads: list[int] = []
    inbox = Inbox()
    for _, _, setter, slot, signal in PAIRS:

        def callback(*args: Any, slot: str = slot) -> None:
            callback_threads.append(threading.get_ident())
            getattr(controller, slot)(*args)

        getattr(server, setter)(callback)
        getattr(controller, signal).connect(inbox.labelled(signal))

    values = {"SAVE": "/data", "TOGGLE SAVING": True, "SET": [1.0, 2.0]}
    for cmd, *_ in PAIRS:
        client.ask(cmd, values.get(cmd, {"of": cmd}))
    # All is answered, and yet nothing has run in this thread: the slots wait for its event loop.
    assert inbox.values == []
    got = inbox.wait_for(len(PAIRS))

    assert [label for label, *_ in got] == [signal for *_, signal in PAIRS]
    assert set(callback_threads) == {server.ident}
    assert len(callback_threads) == len(PAIRS)
    for ident, qthread in inbox.threads:
        assert ident == threading.get_ident() != server.ident
        assert qthread is app.thread()
    arrived = {label: args for label, *args in got}
    assert arrived["saving_path_changed"] == ["/data"]
    assert arrived["saving_status_toggled"] == [True]
    assert arrived["position_changed"] == [[1.0, 2.0]]
    assert arrived["get_received"] == []
    assert arrived["opt_received"] == [{"of": "OPT"}]
    assert arrived["set_actuators_dict_received"] == [{"of": "SET ACT"}]
    assert arrived["set_diagnostics_dict_received"] == [{"of": "SET DIAG"}]
    assert arrived["actuators_pos_update_received"] == [{"of": "UPDATE ACT POS"}]


@needs_pyqt6
@pytest.mark.parametrize("cmd", [pair[0] for pair in DICT_PAIRS])
def test_dicts_arrive_untouched(controller: ServerController, client: Client, cmd: str) -> None:
    inbox = Inbox()
    getattr(controller, SIGNALS[cmd]).connect(inbox.take)
    for value in DICTS:
        client.ask(cmd, value)
    for sent, got in zip(DICTS, inbox.wait_for(len(DICTS)), strict=True):
        # SCAN brings the whole message, the others their value.
        arrived = got["payload"]["data"] if cmd == "SCAN" else got
        assert same(arrived, sent)
        assert list(arrived) == list(sent)  # the order of the keys too


@needs_pyqt6
def test_scan_brings_the_whole_message(controller: ServerController, client: Client) -> None:
    inbox = Inbox()
    controller.scan_received.connect(inbox.take)
    client.ask("SCAN", {"steps": 3})
    [message] = inbox.wait_for(1)
    assert message["from"] == "client"
    assert message["cmd"] == "SCAN"
    assert message["payload"] == {"data": {"steps": 3}}


@needs_pyqt6
def test_lists_of_positions_arrive_untouched(controller: ServerController, client: Client) -> None:
    inbox = Inbox()
    controller.position_changed.connect(inbox.take)
    for value in LISTS:
        client.ask("SET", value)
    for sent, got in zip(LISTS, inbox.wait_for(len(LISTS)), strict=True):
        assert same(got, sent)


@needs_pyqt6
def test_paths_and_saving_status_arrive_untouched(
    controller: ServerController, client: Client
) -> None:
    inbox = Inbox()
    controller.saving_path_changed.connect(inbox.take)
    controller.saving_status_toggled.connect(inbox.take)
    sent = [*PATHS, True, False]
    for path in PATHS:
        client.ask("SAVE", path)
    client.ask("TOGGLE SAVING", True)
    client.ask("TOGGLE SAVING", False)
    assert all(map(same, inbox.wait_for(len(sent)), sent))


@needs_pyqt6
def test_order_is_kept_across_signals(controller: ServerController, client: Client) -> None:
    inbox = Inbox()
    controller.position_changed.connect(lambda value: inbox.put(value[0]))
    controller.opt_received.connect(lambda value: inbox.put(value["n"]))
    controller.saving_path_changed.connect(lambda value: inbox.put(int(value)))
    for n in range(0, 300, 3):
        client.ask("SET", {"0": n})
        client.ask("OPT", {"n": n + 1})
        client.ask("SAVE", str(n + 2))
    assert inbox.wait_for(300) == list(range(300))


# --- positions -----------------------------------------------------------------------------


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
    controller: ServerController, client: Client, sent: dict[str, Any], emitted: list[Any]
) -> None:
    inbox = Inbox()
    controller.position_changed.connect(inbox.take)
    client.ask("SET", sent)
    [got] = inbox.wait_for(1)
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


# --- what a signal does not carry ----------------------------------------------------------


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    mine = [record for record in caplog.records if "not emitted" in record.message]
    assert all(record.name == "laplace.server" for record in mine)
    assert all(record.levelno == logging.ERROR for record in mine)
    return [record.message for record in mine]


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
    controller: ServerController, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox()
    controller.position_changed.connect(inbox.take)
    controller.opt_received.connect(inbox.take)
    assert client.ask("SET", {"x": 1.0})["msg"] == "Positions updated."
    assert client.ask("SET", "everything")["msg"] == "Positions updated."
    assert client.ask("OPT", [1])["payload"] == {}
    client.ask("SET", [7])
    assert inbox.wait_for(1) == [[7]]
    assert len(logged(caplog)) == 3
