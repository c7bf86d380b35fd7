"""ClientBridge: its methods are those of a client, and answers and errors come as signals."""

from __future__ import annotations

import copy
import inspect
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.calls import Heard, ended, result
from support.peers import PATIENCE_S, address_of
from support.ports import own_address
from support.qt import HAVE_PYQT6, needs_pyqt6, spin, spin_for
from support.secure import Lab
from support.serving import MakeServer

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.description import DeviceDescription
from laplace_server.errors import (
    ClientClosed,
    NotArrived,
    NotPermitted,
    NotSupported,
    RemoteError,
    RequestTimeout,
)
from laplace_server.sim import SimulatedMotor

if HAVE_PYQT6:
    from PyQt6.QtCore import QObject, pyqtSignal
    from PyQt6.QtWidgets import QCheckBox, QLineEdit, QPushButton

    from laplace_server.qt import ClientBridge, StreamBridge

pytestmark = needs_pyqt6


def methods(kind: type) -> dict[str, inspect.Signature]:
    own = {name for name in dir(kind) if name[0] != "_"}
    found = {name: getattr(kind, name) for name in own}
    return {
        name: inspect.signature(each) for name, each in found.items() if inspect.isroutine(each)
    }


def test_it_has_every_method_of_a_client() -> None:
    theirs = methods(ClientLHC)
    del theirs["subscribe_packs"]  # for programs that hand messages on, which no window does
    bridge = {name: inspect.signature(getattr(ClientBridge, name)) for name in theirs}
    for name, signature in theirs.items():
        wanted = {each: p for each, p in signature.parameters.items() if each != "progress"}
        if name != "subscribe":
            assert dict(bridge[name].parameters) == wanted, name
            assert bridge[name].return_annotation == ("None" if name == "close" else "PendingCall")
        assert inspect.getdoc(getattr(ClientBridge, name)), name
    kinds = {name for name, each in vars(ClientLHC).items() if isinstance(each, property)}
    assert kinds | {"address", "name", "timeout_s", "security"} <= set(dir(ClientBridge))


@pytest.fixture
def device(make_server: MakeServer) -> ServerLHC:
    """It shows in its data what was asked of it."""
    server = make_server(freedom=2, data={"image": np.eye(3)})
    seen: dict[str, Any] = {"image": np.eye(3)}

    def show(name: str) -> Any:
        def callback(value: Any) -> None:
            seen[name] = value
            server.set_data(dict(seen))

        return callback

    server.set_on_position_changed(show("positions"))
    server.set_on_saving_path_changed(show("path"))
    server.set_on_saving_status_toggled(show("saving"))
    server.set_on_opt(show("opt"))
    server.set_on_scan(show("scan"))
    server.set_on_set_actuators(show("actuators"))
    server.set_on_set_diagnostics(show("diagnostics"))
    server.set_on_update_actuator_positions(show("at"))
    server.set_on_halt(lambda: show("halted")(True))
    server.command("DOUBLE")(double)
    return server


def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


def test_methods_that_tell_something(device: ServerLHC, make_caller: Any) -> None:
    bridge = make_caller(device, name="window")
    with ClientLHC(address_of(device), "window", PATIENCE_S) as client:
        assert 0 < result(bridge.ping()) < PATIENCE_S
        assert result(bridge.info()) == client.info()
        assert result(bridge.get()) == client.get()
        array = result(bridge.get(arrays=True))["image"]
        assert isinstance(array, np.ndarray)
        assert (array == np.eye(3)).all()
        assert result(bridge.stats()).keys() == client.stats().keys()
        described = result(bridge.describe())
        assert isinstance(described, DeviceDescription)
        assert described.methods.keys() == {"DOUBLE"}
        assert result(bridge.call("DOUBLE", number=21)) == 42
        assert result(bridge.request("PING")) == {"PING": "PONG"}
    assert (bridge.address, bridge.name, bridge.timeout_s, bridge.security) == (
        address_of(device),
        "window",
        PATIENCE_S,
        None,
    )


def test_methods_that_change_something(device: ServerLHC, make_caller: Any) -> None:
    bridge = make_caller(device)
    calls = [
        bridge.set([1.5, None]),
        bridge.save(Path("/data/shot")),
        bridge.toggle_saving(True),
        bridge.opt({"a": 1}),
        bridge.set_actuators({"b": 2}),
        bridge.set_diagnostics({"c": 3}),
        bridge.update_actuator_positions({"d": 4}),
    ]
    assert [result(call) for call in calls] == [None] * len(calls)
    assert result(bridge.scan({"e": 5})) is None
    assert result(bridge.halt()) is None
    data = result(bridge.get())
    del data["image"]
    scan = data.pop("scan")
    assert scan["payload"]["data"] == {"e": 5}
    assert data == {
        "positions": [1.5, None],
        "path": str(Path("/data/shot")),
        "saving": True,
        "opt": {"a": 1},
        "actuators": {"b": 2},
        "diagnostics": {"c": 3},
        "at": {"d": 4},
        "halted": True,
    }
    assert result(bridge.stop_server()) is None
    device.join(PATIENCE_S)
    assert not device.is_alive()


def test_what_is_sent_is_what_it_was_when_called(device: ServerLHC, make_caller: Any) -> None:
    bridge = make_caller(device)
    positions, payload = [1.0, 2.0], {"number": 4}
    calls = [bridge.set(positions), bridge.call("DOUBLE", **payload)]
    moved = bridge.move(positions, timeout_s=PATIENCE_S)
    positions[:] = [9.0, 9.0]
    payload["number"] = 9
    assert result(calls[1]) == 8
    assert result(moved)["positions"] == [1.0, 2.0]


def test_a_move_and_its_progress(make_caller: Any) -> None:
    with SimulatedMotor(speed=20.0) as motor:
        bridge = make_caller(motor.server)
        seen: list[Any] = []
        call = bridge.move({"0": 2.0}, tolerance=0.01)
        call.progressed.connect(lambda data: seen.append(data["positions"][0]))
        assert result(call)["positions"] == [2.0, 0.0]
        assert seen == sorted(seen)
        assert len(seen) > 2
        assert seen[0] < 1.0
        assert seen[-1] == 2.0
        halted = bridge.move([40.0, None])
        halted.progressed.connect(lambda data: data["positions"][0] > 3 and bridge.halt())
        with pytest.raises(NotArrived, match="at rest") as error:
            result(halted)
        assert 3 < error.value.positions[0] < 40
        assert str(call).endswith("done>")


def test_signals_of_a_call_and_of_its_bridge(device: ServerLHC, make_caller: Any) -> None:
    bridge = make_caller(device)
    heard = Heard()
    bridge.answered.connect(lambda call: heard.said.append((call.method, "bridge", call.value)))
    bridge.failed.connect(lambda call: heard.said.append((call.method, "bridge", call.error)))
    good, bad = heard.listen(bridge.ping()), heard.listen(bridge.request("NO SUCH"))
    assert not heard.said
    assert bridge.pending == [good, bad]
    assert (good.done, good.value, good.error, good.address) == (False, None, None, bridge.address)
    assert repr(good) == f"<PendingCall ping of {bridge.address} pending>"
    spin(lambda: bad.done)
    spin(lambda: len(heard.said) == 6)
    assert heard.said == [
        ("ping", "answered", good.value),
        ("ping", "bridge", good.value),
        ("ping", "ended"),
        ("request", "failed", bad.error),
        ("request", "bridge", bad.error),
        ("request", "ended"),
    ]
    assert str(bad.error) == "Unknown command"
    assert (bad.value, good.error, bridge.pending) == (None, None, [])


def test_errors_are_those_of_the_client(make_server: MakeServer, make_caller: Any) -> None:
    bridge = make_caller(make_server(callback_errors="reply"))
    with pytest.raises(NotSupported, match="cannot be halted"):
        result(bridge.halt())
    with pytest.raises(RemoteError, match="Unknown command"):
        result(bridge.call("PARK"))
    absent = make_caller(own_address(), timeout_s=0.2)
    with pytest.raises(RequestTimeout, match=r"to GET within 0.2 s: nobody listens there"):
        result(absent.get())
    with pytest.raises(RequestTimeout, match=r"within 0.1 s"):
        result(absent.set([1], timeout_s=0.1))


def test_wrong_arguments_raise_at_once(app: Any, make_caller: Any) -> None:
    bridge = make_caller(own_address())
    for wrong in (
        lambda: bridge.set(object()),
        lambda: bridge.move("left"),
        lambda: bridge.move(iter([1.0])),
        lambda: bridge.move([1.0], tolerance=-1),
        lambda: bridge.get(timeout_s=0),
        lambda: bridge.request(5),
        lambda: bridge.request(""),
        lambda: bridge.call("X", y=object()),
        lambda: ClientBridge("tcp://*:5555"),
        lambda: ClientBridge(bridge.address, timeout_s=-1),
        lambda: ClientBridge(bridge.address, security="key"),
        lambda: copy.copy(bridge),
        lambda: copy.copy(bridge.ping()),
    ):
        with pytest.raises((TypeError, ValueError)):
            wrong()
    assert [call.method for call in bridge.pending] == ["ping"]


def test_widgets_are_connected_to_its_methods(device: ServerLHC, make_caller: Any) -> None:
    bridge = make_caller(device)
    answers: list[Any] = []
    bridge.answered.connect(answers.append)
    button, box, path = QPushButton(), QCheckBox(), QLineEdit()
    for method in (bridge.halt, bridge.get, bridge.ping, bridge.stats):
        button.clicked.connect(method)
    box.toggled.connect(bridge.toggle_saving)
    path.textChanged.connect(bridge.save)
    button.click()
    box.setChecked(True)
    path.setText("/data/7")
    spin(lambda: len(answers) == 6)
    assert sorted(call.method for call in answers) == [
        *("get", "halt", "ping", "save", "stats", "toggle_saving")
    ]
    data = result(bridge.get())
    assert (data["saving"], data["path"], data["halted"]) == (True, "/data/7", True)


def test_a_signal_of_another_thread(device: ServerLHC, make_caller: Any) -> None:
    class Scan(QObject):
        point = pyqtSignal(list)

    bridge, scan = make_caller(device), Scan()
    scan.point.connect(bridge.set)
    problems: list[str] = []

    def run() -> None:
        scan.point.emit([4.0])
        try:
            bridge.get()
        except RuntimeError as error:
            problems.append(str(error))

    answers: list[Any] = []
    bridge.answered.connect(answers.append)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    spin(lambda: answers)
    assert [call.method for call in answers] == ["set"]
    assert result(bridge.get())["positions"] == [4.0]
    assert problems == [
        "get() of a ClientBridge was called in another thread than its. Emit a signal there that "
        "is connected to it."
    ]


@pytest.mark.transports("tcp")
def test_with_keys(make_caller: Any) -> None:
    lab = Lab()
    with lab.serving(data={"x": 1}) as server:
        viewer = make_caller(server, security=lab.client("view"))
        assert result(viewer.get()) == {"x": 1}
        with pytest.raises(NotPermitted):
            result(viewer.set([1]))
        result(make_caller(server, security=lab.client("operate")).set([1]))
        stranger = make_caller(server, timeout_s=0.3)
        with pytest.raises(RequestTimeout):
            result(stranger.get())


def test_a_stream_of_the_same_device(server: ServerLHC, make_caller: Any) -> None:
    bridge = make_caller(server, name="window")
    stream = bridge.subscribe("s", start="newest", latest_only=False)
    assert isinstance(stream, StreamBridge)
    assert stream.parent() is bridge
    got: list[Any] = []
    stream.updates_received.connect(got.extend)
    server.publish("s", {"n": 1})
    spin(lambda: got)
    assert got[0].data == {"n": 1}
    assert [seen.who for seen in server.stats().subscribers] == ["window"]
    bridge.close()
    assert not stream.running
    with pytest.raises(ClientClosed):
        bridge.subscribe("s")


def test_what_fails_where_nobody_listens_is_logged(
    make_caller: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bridge = make_caller(own_address(), timeout_s=0.1)
    with caplog.at_level(logging.WARNING, "laplace.server"):
        heard = Heard()
        ended(heard.listen(bridge.ping()))
        unheard = [bridge.get() for _ in range(3)]
        ended(*unheard)
    assert [record.getMessage() for record in caplog.records] == [
        f"get of {bridge.address} failed: {unheard[0].error}"
    ]


def test_after_close_calls_fail_by_the_event_loop(server: ServerLHC, make_caller: Any) -> None:
    bridge = make_caller(server)
    before = Heard()
    open_call = before.listen(bridge.ping())
    bridge.close()
    bridge.close()
    assert (bridge.closed, bridge.pending) == (True, [])
    assert (open_call.done, open_call.cancelled) == (True, True)
    heard = Heard()
    late = heard.listen(bridge.get())
    assert not heard.said
    spin(lambda: heard.order() == ["get"])
    assert isinstance(late.error, ClientClosed)
    spin_for(0.05)
    assert before.said == []
