"""Moves that wait: devices of every kind in processes of their own, and both clients."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from support.async_callables import async_function
from support.both_clients import Kind
from support.fleets import Mortal
from support.moving_devices import SILENT, TOLD, MovingDevice
from support.peers import PATIENCE_S, address_of
from support.ports import own_address
from support.serving import Gate, MakeServer, serving

from laplace_server import ServerLHC
from laplace_server.client import AsyncClientLHC, ClientLHC
from laplace_server.errors import NotArrived, NotSupported, RemoteError, RequestTimeout
from laplace_server.sim import SimulatedMotor


@pytest.fixture
def motor() -> Iterator[SimulatedMotor]:
    with SimulatedMotor(speed=200.0) as device:
        yield device


@pytest.fixture
def stage(kind: Kind, motor: SimulatedMotor) -> Iterator[Any]:
    with kind(motor.local_address, timeout_s=PATIENCE_S) as client:
        yield client


DEVICES = [*((how, False) for how in [*TOLD, *SILENT]), *((how, True) for how in SILENT)]


@pytest.mark.parametrize(("how", "of_0_2_0"), DEVICES)
def test_every_kind_of_device_has_arrived(kind: Kind, how: str, of_0_2_0: bool) -> None:
    with MovingDevice(how, of_0_2_0) as device, kind(device.address, timeout_s=5.0) as client:
        for wanted in ([2.0, -1.0], [0.0, 0.5], [0.0, 0.5]):
            data = client.move(wanted, timeout_s=PATIENCE_S)
            assert data["positions"] == wanted == client.get()["positions"]


def test_a_device_that_only_says_whether_it_moves(kind: Kind) -> None:
    with MovingDevice("says_only_moving") as device, kind(device.address) as client:
        assert client.move([1.0], timeout_s=PATIENCE_S) == {"unit": "mm", "moving": False}


@pytest.mark.parametrize(
    ("how", "positions", "why"),
    [
        ("nowhere", [0.0, 0.0], "at rest"),
        ("says_nothing", None, "says neither whether it moves nor where it is"),
    ],
)
def test_a_device_that_goes_nowhere(kind: Kind, how: str, positions: Any, why: str) -> None:
    with MovingDevice(how) as device, kind(device.address) as client:
        with pytest.raises(NotArrived, match=why) as caught:
            client.move({1: 3.0}, timeout_s=PATIENCE_S)
        error = caught.value
        assert (error.positions, error.wanted) == (positions, {1: 3.0})
        assert error.address == client.address
        copy = pickle.loads(pickle.dumps(error))
        assert (str(copy), vars(copy)) == (str(error), vars(error))


@pytest.mark.parametrize(
    ("positions", "at"),
    [
        ([1.5, None], [1.5, 0.0]),
        ((1.5, 2), [1.5, 2.0]),
        ({"1": 2.5}, [0.0, 2.5]),
        ({np.int64(0): np.float32(0.5)}, [0.5, 0.0]),
        (np.array([1.0, 2.0]), [1.0, 2.0]),
    ],
    ids=["list", "tuple", "dict", "dict of NumPy", "array"],
)
def test_positions_are_what_set_takes(stage: Any, positions: Any, at: list[float]) -> None:
    assert stage.move(positions, timeout_s=PATIENCE_S)["positions"] == at


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (([],), ValueError, "at least one axis"),
        (({"0": None},), ValueError, "at least one axis"),
        ((1.5,), TypeError, "a list in axis order"),
        (("12",), TypeError, "a list in axis order"),
        ((None,), TypeError, "a list in axis order"),
        (([True],), TypeError, "finite number"),
        ((["1"],), TypeError, "finite number"),
        (([[1.0]],), TypeError, "finite number"),
        (([float("nan")],), ValueError, "finite number"),
        (([10**400],), ValueError, "finite number"),
        (([1.0], {"tolerance": -1}), ValueError, "negative"),
        (([1.0], {"tolerance": None}), TypeError, "'tolerance'"),
        (([1.0], {"timeout_s": 0}), ValueError, "'timeout_s'"),
        (([1.0], {"timeout_s": None}), TypeError, "'timeout_s'"),
        (([1.0], {"progress": 1}), TypeError, "'progress'"),
        (([1.0], {"progress": async_function}), TypeError, "'progress' must not be async"),
    ],
)
def test_wrong_arguments(
    stage: Any, motor: SimulatedMotor, arguments: tuple[Any, ...], error: Any, text: str
) -> None:
    positions, options = (*arguments, {})[:2]
    with pytest.raises(error, match=text):
        stage.move(positions, **options)
    assert "SET" not in {name for name, of in motor.server.stats().commands.items() if of.python}


@pytest.mark.parametrize(
    ("at_rest", "moves"),
    [
        ([False, True], [True, False]),
        ({"0": False, "1": True}, {"0": True, "1": False}),
        ([[False, False], [True]], [[False, True], [False]]),
        ([{"x": False}], [{"x": True}]),
    ],
    ids=str,
)
def test_moving_by_axis_is_that_of_the_axis(
    make_server: MakeServer, kind: Kind, at_rest: Any, moves: Any
) -> None:
    server = make_server(data={"positions": [1.0, 0.0], "moving": moves})
    looks = []

    def end_with_the_third(data: dict[str, Any]) -> None:
        looks.append(data["moving"])
        if len(looks) == 3:
            server.set_data({"positions": [1.0, 0.0], "moving": at_rest})

    with kind(address_of(server), timeout_s=PATIENCE_S) as client:
        data = client.move([1.0], timeout_s=PATIENCE_S, progress=end_with_the_third)
    assert data["moving"] == at_rest
    assert looks == [moves] * 3 + [at_rest]


def test_how_near_is_near_enough(make_server: MakeServer, kind: Kind) -> None:
    server = make_server(data={"positions": [1.51, 7], "moving": False})
    with kind(address_of(server), timeout_s=PATIENCE_S) as client:
        assert client.move([1.5], tolerance=0.02)["positions"] == [1.51, 7]
        with pytest.raises(NotArrived, match="tolerance"):
            client.move([1.5], tolerance=0.001)


def test_progress_is_told_of_each_look(stage: Any) -> None:
    seen: list[float] = []
    data = stage.move([20.0, 0.0], progress=lambda data: seen.append(data["positions"][0]))
    assert seen == sorted(seen)
    assert len(seen) > 2
    assert seen[-1] == data["positions"][0] == 20.0


def test_what_progress_raises_comes_out(stage: Any) -> None:
    def cancel(data: dict[str, Any]) -> None:
        raise RuntimeError("cancelled")

    with pytest.raises(RuntimeError, match="cancelled"):
        stage.move([20.0, 0.0], progress=cancel)
    assert stage.move([1.0, 0.0])["positions"] == [1.0, 0.0]


def test_the_time_is_over(kind: Kind) -> None:
    with SimulatedMotor(speed=1.0) as motor, kind(motor.local_address) as client:
        with pytest.raises(NotArrived, match=r"its 0\.2 s are over") as caught:
            client.move([10.0, 0.0], timeout_s=0.2)
        assert 0 < caught.value.positions[0] < 10
        assert client.get()["moving"]


def test_a_set_that_is_not_answered_in_time(make_server: MakeServer, kind: Kind) -> None:
    server = make_server(data={"positions": [0.5]})
    gate = Gate()
    server.set_on_position_changed(gate)
    with kind(address_of(server), timeout_s=PATIENCE_S) as client:
        with pytest.raises(NotArrived, match="SET was not answered within") as caught:
            client.move([1.0], timeout_s=0.2)
        assert caught.value.positions == [0.5]
        assert isinstance(caught.value.__cause__, RequestTimeout)
        gate.open()


def test_nobody_to_move(kind: Kind) -> None:
    with kind(own_address()) as client, pytest.raises(RequestTimeout, match="nobody listens"):
        client.move([1.0], timeout_s=0.1)


def test_a_server_that_ends_during_a_move(kind: Kind) -> None:
    with SimulatedMotor(speed=1.0) as motor, kind(motor.local_address, timeout_s=0.2) as client:
        with pytest.raises((RequestTimeout, RemoteError)):
            client.move([10.0, 0.0], progress=lambda _: motor.stop())


HANGS_IN_SET = """
import threading

begun = threading.Event()

class ServerLHC(ServerLHC):
    def __init__(self, **arguments):
        super().__init__(**{**arguments, "data": {"positions": [0.0], "moving": False}})
        self.set_on_position_changed(lambda _: begun.set() or threading.Event().wait())
"""


@contextlib.contextmanager
def killed_in_set(kind: Kind, timeout_s: float) -> Iterator[tuple[Mortal, Future[Any]]]:
    """A device that is killed after it has got a SET, and what ``move`` makes of that."""
    with (
        Mortal(before=HANGS_IN_SET) as device,
        kind(device.address, timeout_s=timeout_s) as client,
        ThreadPoolExecutor(1) as thread,
    ):
        moving = thread.submit(client.move, [1.0], timeout_s=3 * PATIENCE_S)
        assert device.run(f"begun.wait({PATIENCE_S})")
        device.kill()
        yield device, moving


def test_a_device_killed_in_set_that_comes_back_elsewhere(kind: Kind) -> None:
    with killed_in_set(kind, PATIENCE_S) as (device, moving):
        device.start()
        with pytest.raises(NotArrived, match="at rest") as caught:
            moving.result(PATIENCE_S)
        assert caught.value.positions == [0.0]


def test_a_device_killed_in_set_that_comes_back_there(kind: Kind) -> None:
    with killed_in_set(kind, PATIENCE_S) as (device, moving):
        device.start()
        device.run('server.set_data({"positions": [1.0], "moving": False})')
        assert moving.result(PATIENCE_S)["positions"] == [1.0]


def test_a_device_killed_in_set_that_stays_away(kind: Kind) -> None:
    with killed_in_set(kind, 0.2) as (_, moving):
        with pytest.raises(RequestTimeout, match="nobody listens") as caught:
            moving.result(PATIENCE_S)
        assert caught.value.cmd == "GET"


# ---- asked right after SET


def test_never_seen_at_rest_after_set(make_server: MakeServer, kind: Kind) -> None:
    """Though the program sets data that says so, all the time."""
    server = make_server(data={"positions": [0.0]})
    ended = threading.Event()

    def update() -> None:
        while not ended.is_set():
            server.set_data({"positions": [0.0], "moving": False}, copy=True)

    updating = threading.Thread(target=update)
    server.set_on_position_changed(lambda _: server.begin_move() and None)
    updating.start()
    try:
        with kind(address_of(server), timeout_s=PATIENCE_S) as client:
            for turn in range(200):
                client.set([1.0])
                for _ in range(3):
                    assert client.get()["moving"] is True, turn
                server.end_move()
                assert client.get()["moving"] is False, turn
    finally:
        ended.set()
        updating.join()


def test_the_simulated_motor_is_never_seen_at_rest_after_set(kind: Kind) -> None:
    with SimulatedMotor(speed=50.0, period_s=0.005) as motor, kind(motor.local_address) as client:
        for turn in range(1, 201):
            client.set([40.0 if turn % 2 else -40.0, 0.0])
            assert client.get()["moving"], turn


def test_two_clients_and_two_axes(motor: SimulatedMotor) -> None:
    """Each waits for its own axis, as far as the device tells them apart."""

    async def both() -> list[Any]:
        async with AsyncClientLHC(motor.local_address) as client:
            moves = [client.move({axis: 5.0}, timeout_s=PATIENCE_S) for axis in range(2)]
            return await asyncio.gather(*moves)

    for data, axis in zip(asyncio.run(both()), range(2), strict=True):
        assert data["positions"][axis] == 5.0


# ---- halted


def test_halt_ends_a_move(kind: Kind) -> None:
    with (
        SimulatedMotor(speed=1.0) as motor,
        kind(motor.local_address) as client,
        ClientLHC(motor.local_address) as other,
    ):
        began = threading.Event()
        problems: list[Any] = []

        def move() -> None:
            try:
                client.move([40.0, 0.0], progress=lambda _: began.set())
            except NotArrived as error:
                problems.append(error)

        moving = threading.Thread(target=move)
        moving.start()
        assert began.wait(PATIENCE_S)
        other.halt()
        assert not other.get()["moving"]
        moving.join(PATIENCE_S)
        (error,) = problems
        assert error.positions == other.get()["positions"] != [40.0, 0.0]


def test_halt_reaches_a_device_that_moves_inside_set(kind: Kind) -> None:
    with serving(data={"positions": [0.0]}) as server, kind(address_of(server)) as client:
        gate = Gate()
        server.set_on_position_changed(gate)
        server.set_on_halt(gate.open)
        setting = threading.Thread(target=lambda: client.set([1.0], timeout_s=PATIENCE_S))
        setting.start()
        gate.wait_begun()
        client.halt()
        setting.join(PATIENCE_S)
        assert not setting.is_alive()


@pytest.mark.parametrize("of_0_2_0", [False, True])
def test_a_device_that_cannot_be_halted(kind: Kind, of_0_2_0: bool) -> None:
    with MovingDevice("inside", of_0_2_0) as device, kind(device.address) as client:
        with pytest.raises(NotSupported, match="cannot be halted") as caught:
            client.halt()
        assert (caught.value.cmd, caught.value.address) == ("HALT", client.address)
        assert client.get() == {"positions": [0.0, 0.0]}


def test_a_halt_that_failed_is_told(server: ServerLHC, client: Any) -> None:
    def fail() -> None:
        raise OSError("the motor does not answer")

    server.set_on_halt(fail)
    with pytest.raises(RemoteError, match="OSError: the motor does not answer") as caught:
        client.halt()
    assert not isinstance(caught.value, NotSupported)
    assert server.stats().callback_errors == {"on_halt": 1}


def test_a_move_takes_little_time_beyond_the_device_s(stage: Any) -> None:
    begun = time.monotonic()
    looks: list[Any] = []
    stage.move([10.0, 0.0], progress=looks.append)
    assert len(looks) <= (time.monotonic() - begun) / 0.005 + 2


def test_the_described_keys_count(kind: Kind, make_server: MakeServer) -> None:
    """Of a device whose data calls them neither "positions" nor "moving"."""
    server = make_server(
        data={"mirror": [0.0]},
        describe={"mirror": {"writable": True, "moving": "turning"}, "turning": {}},
    )
    begun: list[Any] = []

    def begin(positions: Any) -> None:
        begun.append((server.begin_move(), positions))

    def go_on(data: dict[str, Any]) -> None:
        if begun:  # this look found it turning
            assert data == {"mirror": [0.0], "turning": True}
            move, positions = begun.pop()
            server.set_data({"mirror": positions})
            move.end()

    server.set_on_position_changed(begin)
    with kind(address_of(server), timeout_s=PATIENCE_S) as client:
        arrived = client.move([2.0], timeout_s=PATIENCE_S, progress=go_on)
    assert arrived == {"mirror": [2.0], "turning": False}
    assert not begun
