"""StreamBridge where servers come, go, say nothing or send what cannot be read."""

from __future__ import annotations

import copy
import os
import pickle
import time
from typing import Any

import pytest
from support.isolated import run_script
from support.machine import MACOS, within
from support.name_service import NameService
from support.peers import PATIENCE_S, address_of
from support.qt import HAVE_PYQT6, MakeBridge, needs_pyqt6, spin, spin_for
from support.serving import MakeServer
from support.updates import adds_up, publish_all

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC, stream_relay
from laplace_server.errors import LaplaceError
from laplace_server.stream import Subscription, Update

if HAVE_PYQT6:
    pass


@pytest.mark.alone
@needs_pyqt6
def test_a_server_that_is_not_there_yet(
    make_server: MakeServer, make_bridge: MakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = make_server()
    gone.stop()
    address = address_of(gone)
    bridge = make_bridge(address, begin=False, timeout_s=0.1)
    failures: list[str] = []
    states: list[bool] = []
    got: list[Update] = []
    bridge.failed.connect(failures.append)
    bridge.connected_changed.connect(states.append)
    bridge.update_received.connect(got.append)
    begun = time.monotonic()
    bridge.start()
    assert time.monotonic() - begun < within(0.1)
    assert (bridge.running, bridge.connected) == (True, False)
    spin(lambda: failures)
    spin_for(1.5)  # it has tried again, and does not say the same again
    assert len(failures) == 1
    assert address in failures[0]
    assert states == []

    late = make_server(address=address)
    spin(lambda: len(failures) == 2)
    assert "No such stream: 's'" in failures[1]
    late.declare_stream("s")
    spin(lambda: bridge.connected)
    late.publish("s", {"n": 1})
    spin(lambda: got)
    assert states == [True]
    assert len(failures) == 2


@needs_pyqt6
@pytest.mark.parametrize("latest_only", [True, False])
def test_a_restarted_server_is_followed_on(
    make_server: MakeServer, make_bridge: MakeBridge, latest_only: bool
) -> None:
    first = make_server()
    first.declare_stream("s")
    bridge = make_bridge(first, latest_only=latest_only)
    got: list[Update] = []
    bridge.update_received.connect(got.append)
    bridge.updates_received.connect(got.extend)
    publish_all(first, 10)
    spin(lambda: bool(got) and got[-1].seq == 10)
    assert adds_up(got, 1, 10)
    first.stop()
    got.clear()
    second = make_server(address=address_of(first), start=False)
    second.declare_stream("s")
    publish_all(second, 5)
    second.start()
    spin(lambda: bool(got) and got[-1].seq == 5)
    assert {update.epoch for update in got} == {second.epoch} != {first.epoch}
    assert adds_up(got, 1, 5)
    assert bridge.shown + bridge.skipped == 15


@needs_pyqt6
def test_an_update_of_a_former_life_is_not_counted_in_the_next(
    server: ServerLHC, make_bridge: MakeBridge
) -> None:
    """Where one waits while the window is busy and the server, which had two more, restarts."""
    bridge = make_bridge(server)
    got: list[Update] = []
    bridge.update_received.connect(got.append)
    relay = bridge._life.relay
    relay._put(Update(7, 1, 0.0, {}, 6), 6, 0)
    relay._put(Update(9, 1, 0.0, {}, 1), 1, 0)
    relay._put(Update(3, 2, 0.0, {}, 2), 4, 0)
    spin(lambda: got)
    assert got == [Update(3, 2, 0.0, {}, 2)]
    assert (bridge.shown, bridge.skipped) == (1, 9 + 4)


@needs_pyqt6
def test_a_silent_server_is_told(
    make_server: MakeServer, make_bridge: MakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_relay, "_SILENCE_S", 0.2)
    server = make_server()
    server.declare_stream("s")
    bridge = make_bridge(server)
    states: list[bool] = []
    failures: list[str] = []
    bridge.connected_changed.connect(states.append)
    bridge.failed.connect(failures.append)
    spin_for(1.0)  # nothing is published, and yet all is well
    assert (states, failures) == ([], [])
    server.stop()
    spin(lambda: states)
    assert states == [False]
    assert "No answer" in failures[0]
    again = make_server(address=address_of(server))
    again.declare_stream("s")
    spin(lambda: bridge.connected)
    assert states == [False, True]


@needs_pyqt6
def test_an_update_that_cannot_be_read_is_told_and_counted(
    server: ServerLHC, make_bridge: MakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def next_one(self: Subscription, timeout: float | None = None) -> Update:
        raise LaplaceError("no NumPy here")

    bridge = make_bridge(server, latest_only=False)
    failures: list[str] = []
    got: list[Update] = []
    bridge.failed.connect(failures.append)
    bridge.updates_received.connect(got.extend)
    with monkeypatch.context() as patch:
        patch.setattr(Subscription, "next", next_one)
        spin(lambda: failures)
        spin_for(0.5)
    assert failures == ["no NumPy here"]
    server.publish("s", {})
    spin(lambda: got)
    assert bridge.connected


@needs_pyqt6
def test_what_went_wrong_is_told(
    server: ServerLHC, make_bridge: MakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = NameService(monkeypatch)
    bridge = make_bridge(
        f"tcp://pc.lab:{server.server_port}", begin=False, timeout_s=0.2, latest_only=False
    )
    failures: list[str] = []
    bridge.failed.connect(failures.append)
    bridge.start()
    spin(lambda: failures)
    assert "the host name 'pc.lab' is not known" in failures[0]
    service.hosts["pc.lab"] = ["127.0.0.1"]
    spin(lambda: bridge.connected)
    bridge.stop()
    server.stop()
    bridge.start()
    spin(lambda: len(failures) > 1)
    assert "nobody listens there" in failures[1]


@needs_pyqt6
@pytest.mark.parametrize("own", [True, False])
def test_a_slow_look_up_holds_up_no_window(
    own: bool, make_bridge: MakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = NameService(monkeypatch)
    service.hold()
    client = ClientLHC("tcp://slow.lab:5555", timeout_s=3600)
    source = client if own else "tcp://slow.lab:5555"
    bridge = make_bridge(source, begin=False, timeout_s=3600)
    begun = time.monotonic()
    bridge.start()
    relay = bridge._life.relay
    service.wait_asked()
    bridge.stop()
    assert time.monotonic() - begun < within(1)
    relay.join(PATIENCE_S)
    assert time.monotonic() - begun < within(1)
    assert not client.closed
    client.close()
    service.let_go()


@needs_pyqt6
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_are_refused(copied: Any, server: ServerLHC, make_bridge: MakeBridge) -> None:
    bridge = make_bridge(server)
    got: list[Update] = []
    bridge.update_received.connect(got.append)
    with pytest.raises(TypeError, match="make one where it is needed"):
        copied(bridge)
    server.publish("s", {"n": 1})
    spin(lambda: got)


RELAY_FORK = """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from laplace_server.client import ClientLHC
from laplace_server.client.stream_relay import Relay
client = ClientLHC(sys.argv[1], timeout_s=20)
relay = Relay(client, "s", own_client=True, start="latest", latest_only=True,
              credit_bytes=1 << 20, ring=lambda: None)
held, let_go = threading.Event(), threading.Event()

def hold():
    with relay._changed:
        held.set()
        let_go.wait(20)

threading.Thread(target=hold).start()
held.wait(20)
child = os.fork()
if not child:
    relay.end()  # for which the bridge's end has an exit handler
    os._exit(0 if client.get() == {} else 1)
_, status = os.waitpid(child, 0)
let_go.set()
relay.end()
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child")
def test_a_forked_child_ends_no_thread_of_its_parent(server: ServerLHC) -> None:
    assert run_script(RELAY_FORK, address_of(server)) == "0\n"
