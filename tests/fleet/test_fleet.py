"""A fleet of processes that are killed and come back."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest
from support.fleets import NOBODY, QUICK, Mortal
from support.isolated import Child
from support.original import require_original
from support.peers import PATIENCE_S
from support.ports import own_address
from support.served_apart import ServedApart
from support.waiting import wait_until

from laplace_server.fleet import DeviceState, Fleet

Pair = tuple[Mortal, Mortal]


def test_who_is_there_and_what_it_says(fleet: Fleet, pair: Pair, heard: Any) -> None:
    devices = fleet.devices()
    assert [each.name for each in devices.values()] == ["first", "second"]
    for device in devices.values():
        assert device.present
        assert device.reason is None
        assert device.info is not None
        assert device.info["device"] == "MOTOR"
        assert device.latency_s is not None
        assert 0 < device.latency_s < PATIENCE_S
        assert device.joined == 1
    wait_until(lambda: len(heard.said) == 2, "both are told of")
    assert sorted(heard.words) == sorted(("joined", each.address) for each in pair)
    first = pair[0].address
    before = fleet[first].heard
    assert before is not None
    wait_until(lambda: (fleet[first].heard or 0) > before, "it is looked at again")


def test_one_that_is_killed_is_lost_and_joins_again(fleet: Fleet, pair: Pair, heard: Any) -> None:
    first, second = pair
    first.kill()
    wait_until(lambda: fleet[first.address].reason == NOBODY, "it is lost")
    assert not fleet[first.address].present
    assert fleet[first.address].name == "first"  # what it said last
    assert fleet.wait(0.05) == {first.address: NOBODY}
    assert fleet[second.address].joined == 1
    first.start()
    assert fleet.wait(PATIENCE_S) == {}
    assert fleet[first.address].joined == 2
    wait_until(lambda: len(heard.said) == 4, "all is told")
    assert heard.words[2:] == [("lost", first.address), ("joined", first.address)]
    assert heard.said[2][1].reason  # dying, it may not answer for a while before its port is free


def test_settings_are_told_to_all_and_again_to_who_comes_back(fleet: Fleet, pair: Pair) -> None:
    first, second = pair
    fleet.set_actuators({"x": [1, 2]})
    fleet.toggle_saving(True)
    fleet.save("/a")
    assert fleet.wait(PATIENCE_S) == {}
    assert sorted(first.told()) == sorted(second.told())
    first.kill()
    fleet.save("/b")
    wait_until(lambda: second.told()[-1] == ["SAVE", "/b"], "the other one knows")
    wait_until(lambda: not fleet[first.address].present, "it is lost")
    first.start()
    assert fleet.wait(PATIENCE_S) == {}
    # Where to save comes before that it saves.
    assert first.told() == [["SET ACT", {"x": [1, 2]}], ["SAVE", "/b"], ["TOGGLE SAVING", True]]
    assert second.told().count(["TOGGLE SAVING", True]) == 1  # it was there all the time


def test_one_that_stands_still_is_lost_and_is_told_all_when_it_goes_on(
    fleet: Fleet, pair: Pair
) -> None:
    first, _ = pair
    fleet.save("/a")
    assert fleet.wait(PATIENCE_S) == {}
    first.suspend()
    wait_until(lambda: not fleet[first.address].present, "it is lost")
    assert fleet[first.address].reason is not None
    first.resume()
    assert fleet.wait(PATIENCE_S) == {}
    assert first.told() == [["SAVE", "/a"], ["SAVE", "/a"]]


def test_settings_for_some_and_for_those_added_later(fleet: Fleet, pair: Pair) -> None:
    first, second = pair
    fleet.save("/all")
    fleet.save("/first", only=[first.address])
    fleet.tell("ECHO", {"x": 1}, only=[second.address])
    assert fleet.wait(PATIENCE_S) == {}
    assert first.told()[-1] == ["SAVE", "/first"]
    assert second.told()[-1] == ["SAVE", "/all"]
    assert [each.cmd for each in fleet[second.address].settings] == ["SAVE", "ECHO"]
    fleet.remove(first.address)
    assert first.address not in fleet
    fleet.add(first.address)
    assert fleet.wait(PATIENCE_S) == {}
    assert first.told()[-1] == ["SAVE", "/all"]
    fleet.forget("SAVE")
    assert fleet[first.address].settings == ()


def test_a_device_that_hangs_with_a_setting_stays_present(nothing_left_behind: None) -> None:
    hangs = """
    import threading
    told, gate = [], threading.Event()
    class ServerLHC(ServerLHC):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.set_on_saving_path_changed(lambda path: gate.wait() and told.append(path))
    """
    unanswered = f"SAVE: no answer within {QUICK['timeout_s']:g} s"
    with ServedApart(textwrap.dedent(hangs)) as device:
        with Fleet([device.address], **QUICK) as fleet:
            fleet.save("/a")
            wait_until(
                lambda: fleet.missing() == {device.address: unanswered},
                "the setting is not confirmed",
            )
            before = fleet[device.address].heard or 0
            wait_until(lambda: (fleet[device.address].heard or 0) > before, "it answers PINGs")
            assert fleet[device.address].joined == 1
            device.run("gate.set()")
            assert fleet.wait(PATIENCE_S) == {}
        assert set(device.run("told")) == {"/a"}


ORIGINAL = """
import sys
sys.path.insert(0, sys.argv[1])
from laplace_server import ServerLHC
server = ServerLHC("original", sys.argv[2], 1, "MOTOR", {})
server.set_on_saving_path_changed(lambda path: print(path, flush=True))
server.start()
print("ready", flush=True)
"""


def test_a_server_of_0_2_0_is_followed_too(nothing_left_behind: None) -> None:
    address = own_address()
    folder = str(require_original())
    with Fleet([address], period_s=0.02, timeout_s=PATIENCE_S) as fleet:
        fleet.save("/a")
        for joined in (1, 2):
            device = Child(ORIGINAL, folder, address)
            try:
                assert device.hear() == "ready"
                assert device.hear() == "/a"
                assert fleet.wait(PATIENCE_S) == {}
                assert (fleet[address].name, fleet[address].joined) == ("original", joined)
            finally:
                device.close()


def test_callbacks_hold_up_nothing_and_may_raise(
    fleet: Fleet, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = pair
    entered, gate, told = threading.Event(), threading.Event(), []

    def block(device: DeviceState) -> None:
        told.append(device.address)
        entered.set()
        gate.wait(PATIENCE_S)
        raise LookupError("of the program")

    fleet.set_on_lost(block)
    first.kill()
    assert entered.wait(PATIENCE_S)
    second.kill()
    wait_until(lambda: not fleet[second.address].present, "the other is followed")
    gate.set()
    wait_until(lambda: len(told) == 2, "the next is called")
    assert "on_lost raised" in caplog.text
    assert "LookupError: of the program" in caplog.text


def test_it_may_be_closed_in_its_callback(pair: Pair) -> None:
    fleet = Fleet([pair[0].address], **QUICK)
    closed = threading.Event()

    def close(device: DeviceState) -> None:
        fleet.close()
        closed.set()

    fleet.set_on_joined(close)
    fleet.start()
    assert closed.wait(PATIENCE_S)
    assert fleet[pair[0].address].reason == "the fleet is closed"
    fleet.close()


SIGNALLED = """
import signal, sys
from laplace_server.errors import ClientClosed
from laplace_server.fleet import Fleet
fleet, closed, signals = Fleet(["tcp://127.0.0.1:1"]), [], [signal.SIGUSR1]
def close(*_):
    fleet.close()
    closed.append(True)
signal.signal(signal.SIGUSR1, close)
class Loop:
    def __init__(self, loop):
        self.loop = loop
    def __getattr__(self, name):
        return getattr(self.loop, name)
    def call_soon_threadsafe(self, *arguments):
        if signals:
            signal.raise_signal(signals.pop())
        return self.loop.call_soon_threadsafe(*arguments)
fleet.start()
fleet._thread._loop = Loop(fleet._thread._loop)
print(fleet.missing(), closed, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signal")
def test_a_signal_handler_closes_it_in_the_middle_of_a_call() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.stdout == "{'tcp://127.0.0.1:1': 'the fleet is closed'} [True]\n", done.stderr


def test_an_exit_in_a_callback_does_not_end_the_telling(
    pair: Pair, heard: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = pair
    with Fleet(**QUICK) as fleet:
        heard.of(fleet)
        fleet.set_on_joined(lambda device: sys.exit(3))
        fleet.add(first.address)
        wait_until(lambda: "on_joined raised" in caplog.text, "the exit is logged")
        first.kill()
        wait_until(lambda: heard.words == [("lost", first.address)], "it is told on")
