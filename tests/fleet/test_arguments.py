"""What a fleet refuses, and how it ends."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
import warnings
from typing import Any

import pytest
from support.fleets import QUICK, Mortal
from support.isolated import run_script
from support.machine import MACOS, within
from support.peers import PATIENCE_S
from support.raw_listeners import RawListener
from support.waiting import wait_until

from laplace_server.errors import ClientClosed
from laplace_server.fleet import AsyncFleet, Fleet
from laplace_server.protocol import LOGGER_NAME

ADDRESS = "tcp://stage.lab:5555"


@pytest.fixture(params=[Fleet, AsyncFleet])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("again", [ADDRESS, "tcp://STAGE.lab:5555", "tcp://stage.lab:05555"])
def test_an_address_given_twice_is_refused(kind: Any, again: str) -> None:
    with pytest.raises(ValueError, match=r"is in the fleet already, as tcp://stage\.lab:5555"):
        kind([ADDRESS, again])
    fleet = kind([ADDRESS])
    with pytest.raises(ValueError, match="is in the fleet already"):
        fleet.add(again)
    assert fleet.addresses == (ADDRESS,)
    assert again in fleet


@pytest.mark.parametrize(
    ("address", "again"),
    [
        ("tcp://[::1]:5555", "tcp://[0:0::0001]:5555"),
        ("tcp://127.0.0.1:5555", "tcp://[127.0.0.1]:5555"),
    ],
)
def test_a_numeric_address_written_in_another_way_is_refused(
    kind: Any, address: str, again: str
) -> None:
    with pytest.raises(ValueError, match="is in the fleet already"):
        kind([address, again])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"addresses": ADDRESS}, TypeError),
        ({"period_s": 10**400}, ValueError),
        ({"addresses": [5]}, TypeError),
        ({"addresses": ["tcp://*:5555"]}, ValueError),
        ({"period_s": 0}, ValueError),
        ({"period_s": "x"}, TypeError),
        ({"timeout_s": -1}, ValueError),
        ({"name": ""}, ValueError),
        ({"security": 5}, TypeError),
        ({"addresses": [ADDRESS], "security": lambda address: 5}, TypeError),
    ],
)
def test_wrong_arguments_are_refused(kind: Any, arguments: Any, error: Any) -> None:
    with pytest.raises(error):
        kind(**arguments)


def test_wrong_settings_are_refused_and_nothing_is_told(kind: Any) -> None:
    fleet = kind([ADDRESS])
    for call, error in (
        (lambda: fleet.save(5), TypeError),
        (lambda: fleet.set_actuators(object()), TypeError),
        (lambda: fleet.tell("SET", {"positions": [1]}), ValueError),
        (lambda: fleet.tell("HOME", [1]), TypeError),
        (lambda: fleet.tell(""), ValueError),
        (lambda: fleet.save("/a", only=ADDRESS), TypeError),
        (lambda: fleet.save("/a", only=["tcp://other:1"]), KeyError),
        (lambda: fleet.save("/a", only=[ADDRESS, "tcp://other:1"]), KeyError),
        (lambda: fleet.set_on_lost(5), TypeError),
        (lambda: fleet.remove("tcp://other:1"), KeyError),
        (lambda: fleet["tcp://other:1"], KeyError),
    ):
        with pytest.raises(error):
            call()
    assert fleet[ADDRESS].settings == ()
    assert 5 not in fleet


def test_what_is_not_told_cannot_be_forgotten(kind: Any) -> None:
    fleet = kind([ADDRESS, "tcp://other.lab:1"])
    with pytest.raises(TypeError, match="'cmd' must be str"):
        fleet.forget(5)
    with pytest.raises(KeyError, match="'SAVE' is not told; what is: nothing"):
        fleet.forget("SAVE")
    fleet.save("/a", only=[ADDRESS])
    fleet.toggle_saving(True)
    with pytest.raises(KeyError, match="'save' is not told; what is: 'SAVE', 'TOGGLE SAVING'"):
        fleet.forget("save")
    with pytest.raises(KeyError, match="'SAVE' is not told; what is: 'TOGGLE SAVING'"):
        fleet.forget("SAVE", only=["tcp://other.lab:1"])
    fleet.forget("SAVE")
    fleet.forget("TOGGLE SAVING", only=[ADDRESS])
    assert fleet[ADDRESS].settings == ()
    assert [each.cmd for each in fleet["tcp://other.lab:1"].settings] == ["TOGGLE SAVING"]
    empty = kind()
    empty.save("/a")  # for those added later
    empty.forget("SAVE")


def test_keys_are_found_in_the_thread_that_adds(nothing_left_behind: None) -> None:
    asked: list[tuple[str, threading.Thread]] = []
    with Fleet(
        [ADDRESS],
        security=lambda address: asked.append((address, threading.current_thread())),
        **QUICK,
    ) as fleet:
        fleet.add("tcp://other.lab:1")
        with pytest.raises(ValueError, match="is in the fleet already"):
            fleet.add(ADDRESS)
    assert [address for address, _ in asked[:2]] == [ADDRESS, "tcp://other.lab:1"]
    assert {thread for _, thread in asked} == {threading.current_thread()}


def test_its_own_thread_does_not_wait_for_itself(
    nothing_left_behind: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler of the log runs in it."""
    caught: list[Exception] = []

    class Waits(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                fleet.wait(PATIENCE_S)
            except RuntimeError as error:
                caught.append(error)

    handler, logger = Waits(), logging.getLogger(LOGGER_NAME)
    with Mortal() as device, caplog.at_level(logging.INFO, LOGGER_NAME):
        logger.addHandler(handler)
        try:
            fleet = Fleet([device.address], **QUICK)
            with fleet:
                wait_until(lambda: caught, "it has joined, which is logged")
        finally:
            logger.removeHandler(handler)
    assert "the fleet's own thread" in str(caught[0])


def test_before_its_start_it_knows_nothing(kind: Any) -> None:
    fleet = kind([ADDRESS])
    fleet.save("/a")
    assert fleet.missing() == {ADDRESS: "it has not answered yet"}
    assert fleet[ADDRESS].name == ADDRESS


def test_a_fleet_is_started_once(nothing_left_behind: None) -> None:
    fleet = Fleet(**QUICK)
    with pytest.raises(ClientClosed, match="not started"):
        fleet.wait(1.0)
    with fleet:
        with pytest.raises(ClientClosed, match="once"):
            fleet.start()
    with pytest.raises(ClientClosed, match="once"):
        fleet.start()
    with pytest.raises(ClientClosed, match="is closed"):
        fleet.wait(1.0)
    never_started = Fleet()
    never_started.close()
    never_started.close()
    with pytest.raises(ClientClosed, match="not after its close"):
        never_started.start()


def test_closing_waits_for_no_answer(nothing_left_behind: None) -> None:
    with RawListener() as listener:
        address = f"tcp://127.0.0.1:{listener.port}"
        fleet = Fleet([address], timeout_s=3600.0)
        fleet.save("/a")
        fleet.start()
        waited: list[Any] = []

        def wait() -> None:
            try:
                waited.append(fleet.wait(3600.0))
            except ClientClosed as error:
                waited.append({address: str(error)})

        waiter = threading.Thread(target=wait)
        waiter.start()
        begun = time.monotonic()
        fleet.close()
        assert time.monotonic() - begun < within(1.0)
        waiter.join(PATIENCE_S)
        assert list(waited[0]) == [address]


def test_one_that_is_forgotten_ends(nothing_left_behind: None) -> None:
    with Mortal() as device:
        fleet = Fleet([device.address], **QUICK)
        fleet.start()
        fleet.wait(PATIENCE_S)
        thread = fleet._thread
        assert thread is not None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del fleet
            gc.collect()
        assert ["was not closed" in str(each.message) for each in caught] == [True]
        wait_until(lambda: not thread.is_alive(), "its thread ends")


def test_a_program_ends_that_has_not_closed_it() -> None:
    assert run_script("""
        import warnings
        warnings.simplefilter("ignore", ResourceWarning)
        from laplace_server.fleet import Fleet
        fleet = Fleet(["tcp://127.0.0.1:1"], period_s=0.01)
        fleet.start()
        print("end")
    """).split() == ["end"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child")
def test_a_forked_child_has_none() -> None:
    with Mortal() as device:
        printed = run_script(
            """
            import os, sys, warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            from laplace_server.errors import ClientClosed
            from laplace_server.fleet import Fleet
            with Fleet([sys.argv[1]], period_s=0.01) as fleet:
                assert fleet.wait(20) == {}
                child = os.fork()
                if not child:
                    status = 1
                    try:
                        fleet.devices()
                    except ClientClosed:
                        fleet.close()
                        status = 0
                    finally:
                        os._exit(status)
                _, status = os.waitpid(child, 0)
                before = fleet[sys.argv[1]].heard
                while fleet[sys.argv[1]].heard == before:
                    pass
                print(os.waitstatus_to_exitcode(status), fleet[sys.argv[1]].joined)
            """,
            device.address,
        )
    assert printed.split() == ["0", "1"]
