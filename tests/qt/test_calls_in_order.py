"""ClientBridge carries calls out in their order, within their time, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from support.calls import Heard, ended, result
from support.moving_devices import MovingDevice
from support.peers import PATIENCE_S
from support.ports import own_address
from support.qt import needs_pyqt6, spin, spin_for
from support.serving import Gate, MakeServer
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import call_queue
from laplace_server.errors import LaplaceError, NotArrived, RequestTimeout
from laplace_server.sim import SimulatedMotor

pytestmark = needs_pyqt6


@pytest.fixture
def gate() -> Any:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def held(make_server: MakeServer, gate: Gate) -> ServerLHC:
    """Its SET waits at the gate; HALT and NOTE are written down there, too."""
    server = make_server(data={"x": 1})
    server.set_on_position_changed(gate)
    server.set_on_halt(lambda: gate.calls.append("HALT"))
    server.register_handler(
        "NOTE", lambda server, message, target: gate.calls.append(message["payload"]["n"]) or {}
    )
    return server


def note(bridge: Any, n: int, **options: Any) -> Any:
    return bridge.request("NOTE", {"n": n}, **options)


def test_calls_are_carried_out_and_answered_in_order(
    make_server: MakeServer, make_caller: Any
) -> None:
    server = make_server(data={"positions": [0]})
    done: list[Any] = []

    def move(positions: Any) -> None:
        done.append(positions[0])
        server.set_data({"positions": positions})

    server.set_on_position_changed(move)
    bridge = make_caller(server)
    heard = Heard()
    for n in range(100):
        heard.listen(bridge.set([n]), n)
        heard.listen(bridge.get(), ("get", n))
    spin(lambda: len(heard.order()) == 200)
    assert done == list(range(100))
    assert heard.order() == [label for n in range(100) for label in (n, ("get", n))]
    shown = [value["positions"][0] for _, said, *values in heard.said for value in values if value]
    assert shown == list(range(100))


def test_what_reads_waits_for_what_changes_something(
    held: ServerLHC, gate: Gate, make_caller: Any
) -> None:
    bridge, other = make_caller(held), make_caller(held)
    heard = Heard()
    heard.listen(bridge.set([1]))
    heard.listen(bridge.get())
    heard.listen(note(bridge, 2))
    gate.wait_begun()
    # Another bridge does not wait.
    assert result(other.get()) == {"x": 1}
    assert heard.said == []
    gate.open()
    spin(lambda: len(heard.order()) == 3)
    assert heard.order() == ["set", "get", "request"]
    assert gate.calls == [[1], 2]


def test_reads_go_on_while_a_move_is_under_way(make_caller: Any) -> None:
    """Also where the device moves within its SET, which is not answered meanwhile."""
    with MovingDevice("inside") as device:
        bridge = make_caller(device.address)
        heard = Heard()
        heard.listen(bridge.move([5.0, 0.0]))
        heard.listen(bridge.set([6.0]))
        seen = []
        while "move" not in heard.order():
            seen.append(result(bridge.get())["positions"][0])
            if seen[-1] < 5.0:
                assert heard.order() == []
        assert len(seen) > 2
        heard.listen(bridge.get())
        spin(lambda: len(heard.order()) == 3)
        assert heard.order() == ["move", "set", "get"]
        assert heard.said[-2][2]["positions"] == [6.0, 0.0]


def test_halt_overtakes_and_nothing_is_sent_after_it(
    held: ServerLHC, gate: Gate, make_caller: Any
) -> None:
    bridge = make_caller(held)
    heard = Heard()
    under_way = heard.listen(bridge.set([1]))
    waiting = [heard.listen(bridge.move([2])), heard.listen(note(bridge, 3))]
    reading = heard.listen(bridge.get())
    gate.wait_begun()
    halting = heard.listen(bridge.halt())
    after = heard.listen(bridge.set([4]))
    spin(lambda: halting.done)
    assert gate.calls == [[1], "HALT"]
    gate.open()
    assert result(reading) == {"x": 1}
    result(after)
    assert [call.cancelled for call in (under_way, *waiting)] == [True] * 3
    assert gate.calls == [[1], "HALT", [4]]
    assert sorted(heard.order("answered")) == ["get", "halt", "set"]
    assert len(heard.order()) == 6


def test_halt_before_a_move_has_sent_anything(make_caller: Any) -> None:
    with SimulatedMotor(speed=1.0) as motor:
        bridge = make_caller(motor.server)
        moving, halting = bridge.move([5.0, 0.0]), bridge.halt()
        ended(moving, halting)
        assert (moving.cancelled, halting.error) == (True, None)
        assert result(bridge.get())["positions"] == [0.0, 0.0]


def test_after_a_halt_nobody_waits_for_the_move(make_caller: Any) -> None:
    with SimulatedMotor(speed=5.0) as motor:
        bridge = make_caller(motor.server)
        heard = Heard()
        moving = heard.listen(bridge.move([40.0, 0.0]))
        spin_until_moved(moving)
        bridge.halt()
        back = heard.listen(bridge.set([0.0, 0.0]))
        result(back)
        assert not moving.done
        with pytest.raises(NotArrived):
            result(moving)
        assert heard.order("answered") == ["set"]


def spin_until_moved(call: Any) -> None:
    seen: list[Any] = []
    call.progressed.connect(lambda data: seen.append(data["positions"][0]))
    spin(lambda: any(seen))


def test_a_move_that_is_cancelled_moves_on(make_caller: Any) -> None:
    with SimulatedMotor(speed=50.0) as motor:
        bridge = make_caller(motor.server)
        moving = bridge.move([5.0, 0.0])
        spin_until_moved(moving)
        heard = Heard()
        heard.listen(moving)
        moving.cancel()
        assert (moving.done, moving.cancelled) == (True, True)
        result(bridge.save("/data"))  # which would have waited
        wait_until(lambda: motor.server.data["positions"] == [5.0, 0.0], "it is there")
        assert heard.said == [("move", "ended")]


def test_cancelled_calls_are_not_sent_and_hold_up_nobody(
    held: ServerLHC, gate: Gate, make_caller: Any
) -> None:
    bridge = make_caller(held)
    heard = Heard()
    under_way = heard.listen(bridge.set([1]), 1)
    first, second = (heard.listen(note(bridge, n), n) for n in (2, 3))
    gate.wait_begun()
    first.cancel()
    first.cancel()
    spin(lambda: heard.said == [(2, "ended")])
    under_way.cancel()
    gate.open()
    spin(lambda: second.done)
    assert heard.order() == [2, 1, 3]
    assert heard.order("answered") == [3]
    assert gate.calls == [[1], 3]
    second.cancel()
    assert (second.cancelled, second.value) == (False, {})
    assert (first.value, first.error) == (None, None)


def test_a_call_that_was_answered_already_can_be_cancelled(
    held: ServerLHC, make_caller: Any
) -> None:
    """As long as the signals have not come."""
    bridge = make_caller(held)
    heard = Heard()
    call = heard.listen(bridge.get())
    wait_until(lambda: bridge._queue._outbox._news, "it has been answered")
    call.cancel()
    spin(lambda: heard.said)
    spin_for(0.05)
    assert heard.said == [("get", "ended")]


def test_time_outs_count_from_the_call(held: ServerLHC, gate: Gate, make_caller: Any) -> None:
    bridge = make_caller(held)
    bridge.set([1])
    late = note(bridge, 2, timeout_s=0.2)
    gate.wait_begun()
    with pytest.raises(RequestTimeout) as error:
        result(late)
    assert (error.value.cmd, error.value.timeout_s) == ("NOTE", 0.2)
    assert error.value.reason == "it was not sent, since those before it took so long"
    gate.open()
    result(note(bridge, 3))
    assert gate.calls == [[1], 3]


def test_what_waits_for_a_move_all_its_time_is_told_so(make_caller: Any) -> None:
    with SimulatedMotor(speed=1.0) as motor:
        bridge = make_caller(motor.server)
        spin_until_moved(bridge.move([40.0, 0.0]))
        with pytest.raises(RequestTimeout, match="not sent, since a move is under way"):
            result(bridge.save("/data", timeout_s=0.1))


def test_what_waited_has_the_rest_of_its_time(
    held: ServerLHC, gate: Gate, make_caller: Any
) -> None:
    bridge = make_caller(held)
    first = bridge.set([1], timeout_s=0.3)
    second = bridge.set([2], timeout_s=1.3)
    with pytest.raises(RequestTimeout, match=r"within 0\.3 s"):
        result(first)
    with pytest.raises(RequestTimeout) as error:
        result(second)
    assert 0 < error.value.timeout_s < 1.1


def test_polling_a_device_that_is_gone_piles_nothing_up(make_caller: Any) -> None:
    """Each call is told within its time that there is no answer, and none is left."""
    bridge = make_caller(own_address(), timeout_s=0.2)
    failed: list[Any] = []
    bridge.failed.connect(failed.append)
    calls = []
    for _ in range(300):
        calls.append(bridge.get())
        spin(lambda: True)
    spin(lambda: len(failed) == 300, PATIENCE_S)
    assert bridge.pending == []
    assert failed == calls
    assert all(isinstance(call.error, RequestTimeout) for call in failed)
    assert all("nobody listens there" in call.error.reason for call in failed)


def test_so_many_wait_and_no_more(
    held: ServerLHC, gate: Gate, make_caller: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_queue, "MOST_WAITING", 3)
    bridge = make_caller(held)
    calls = [bridge.set([0]), *(note(bridge, n) for n in (1, 2, 3, 4))]
    with pytest.raises(LaplaceError, match=r"3 calls wait for .*; NOTE was not sent"):
        result(calls[-1])
    gate.open()
    for call in calls[:-1]:
        result(call)
    assert gate.calls == [[0], 1, 2, 3]
    result(note(bridge, 5))
