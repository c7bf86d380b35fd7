"""The simulated devices, read and told over the wire as real ones are."""

from __future__ import annotations

import itertools
import logging
import math
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zmq

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.protocol import AVAILABLE_DEVICES, LOGGER_NAME
from laplace_server.sim import (
    SIMULATED_DEVICES,
    SimulatedCamera,
    SimulatedDevice,
    SimulatedGas,
    SimulatedMotor,
    SimulatedShot,
    make_device,
)

pytestmark = pytest.mark.transports("tcp", "libzmq")

LIMIT_S = 20.0


def client_of(device: SimulatedDevice) -> ClientLHC:
    return ClientLHC(device.local_address, timeout_s=LIMIT_S)


def get_until(client: ClientLHC, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Read until the data meets the condition; the device goes on by itself."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        data = client.get()
        if condition(data):
            return data
        assert time.monotonic() < deadline, f"never came: {data}"


@pytest.mark.parametrize("kind", list(SIMULATED_DEVICES))
def test_every_kind_serves_itself(kind: str) -> None:
    with make_device(kind, name="sim") as device, client_of(device) as client:
        info = client.info()
        assert (info["name"], info["device"]) == ("sim", kind)
        assert info["device"] in AVAILABLE_DEVICES
        first = client.get()
        assert abs(first["time"] - time.time()) < LIMIT_S
        # It publishes by itself, and time does not run back.
        assert get_until(client, lambda data: data["time"] > first["time"])
        assert set(info["plottables_list"]) <= set(first)
        assert device.is_alive()
    assert not device.is_alive()
    assert not device.server.is_alive()


@pytest.mark.parametrize("kind", list(SIMULATED_DEVICES))
def test_every_key_is_described(kind: str) -> None:
    with make_device(kind) as device, client_of(device) as client:
        described, data = client.describe(), client.get()
        with client.subscribe(device.stream, start="oldest") as updates:
            update = updates.next(LIMIT_S)
    assert not described.inferred
    assert set(described.keys) == set(data)
    of_stream = described.streams.get(device.stream, described.keys)
    assert set(of_stream) == set(update.data)
    for key, each in of_stream.items():
        assert each.shape is None or each.shape == np.shape(update.data[key])
        assert each.dtype in (None, "str", np.asarray(update.data[key]).dtype.name)
    moved = {"MOTOR": "positions", "GAS": "pressures"}.get(kind)
    assert described.moved_key == moved
    if moved is not None:
        low, high = described.keys[moved].limits_of(0) or (math.nan, math.nan)
        assert low < high


def test_no_simulation_of_that_kind() -> None:
    with pytest.raises(ValueError, match="'OPT'"):
        make_device("OPT")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (SimulatedMotor, {"speed": 0}),
        (SimulatedMotor, {"period_s": 0}),
        (SimulatedMotor, {"period_s": math.nan}),
        (SimulatedGas, {"time_constant_s": -1}),
        (SimulatedCamera, {"rows": 0}),
        (SimulatedCamera, {"rate_hz": 0}),
        (SimulatedShot, {"rate_hz": math.nan}),
        (SimulatedMotor, {"address": "nowhere"}),
        (SimulatedMotor, {"axes": -1}),
    ],
)
def test_impossible_devices(kind: type[SimulatedDevice], options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        kind(**options)


# -- motor


def test_motor_moves_at_a_finite_speed() -> None:
    with SimulatedMotor(speed=5.0) as motor, client_of(motor) as client:
        assert client.info()["freedom"] == 2
        assert client.info()["name_list"] == ["axis 0", "axis 1"]
        start = time.monotonic()
        client.set([3.0, -1.5])
        # The reply came after the callback, so the target is there already.
        data = client.get()
        assert data["targets"] == [3.0, -1.5]
        assert data["moving"]
        assert data["unit"] == "mm"
        on_the_way = get_until(client, lambda data: 0 < data["positions"][0] < 3)
        assert -1.5 <= on_the_way["positions"][1] < 0
        data = get_until(client, lambda data: not data["moving"])
        assert data["positions"] == [3.0, -1.5]
        # 3 mm at 5 mm/s; at most one update early.
        assert time.monotonic() - start >= 0.6 - 0.02


def test_motor_takes_dicts_and_holds_axes() -> None:
    with SimulatedMotor(axes=3, speed=1e6) as motor, client_of(motor) as client:
        for positions, expected in [
            ([1, 2, 3], [1.0, 2.0, 3.0]),
            ({"0": 2.5}, [2.5, 2.0, 3.0]),
            ([None, 4], [2.5, 4.0, 3.0]),
            ({"2": None, "1": -1}, [2.5, -1.0, 3.0]),
            ([], [2.5, -1.0, 3.0]),
        ]:
            client.set(positions)
            assert client.get()["targets"] == expected
            assert get_until(client, lambda data: not data["moving"])["positions"] == expected


@pytest.mark.parametrize(
    "positions",
    [
        [1.0, 60.0],
        [1.0, -60.0],
        [1.0, math.nan],
        [1.0, math.inf],
        [1.0, 2.0, 3.0],
        [1.0, "2"],
        [1.0, True],
        [1.0, [2.0]],
        {"0": 1.0, "2": 1.0},
        {"0": 1.0, "-1": 1.0},
        {"0": 1.0, "x": 1.0},
        "12",
        5,
        None,
    ],
)
def test_motor_refuses_and_stays(positions: Any, caplog: pytest.LogCaptureFixture) -> None:
    with SimulatedMotor(name="stage") as motor, client_of(motor) as client:
        with caplog.at_level(logging.WARNING, LOGGER_NAME):
            client.set(positions)
        data = client.get()
        assert data["targets"] == [0.0, 0.0]
        assert not data["moving"]
    refused = [record for record in caplog.records if "SET refused" in record.getMessage()]
    assert len(refused) == 1
    assert "stage" in refused[0].getMessage()


def test_positions_never_step_back_while_moving() -> None:
    with SimulatedMotor(axes=1, speed=20.0) as motor, client_of(motor) as client:
        client.set([5.0])
        seen: list[float] = []

        def arrived(data: dict[str, Any]) -> bool:
            seen.append(data["positions"][0])
            return not data["moving"]

        get_until(client, arrived)
        assert all(a <= b for a, b in itertools.pairwise(seen))
        assert seen[-1] == 5.0


# -- the others


def test_gas_approaches_its_target() -> None:
    with SimulatedGas(time_constant_s=0.3) as gas, client_of(gas) as client:
        client.set({"0": 10.0})
        assert client.get()["targets"] == [10.0]
        get_until(client, lambda data: 0 < data["pressures"][0] < 9)
        data = get_until(client, lambda data: data["pressures"][0] > 9.9)
        assert data["pressures"][0] <= 10.0
        assert data["unit"] == "bar"
        client.set([-1])
        assert client.get()["targets"] == [10.0]


def spot(image: list[list[int]]) -> tuple[float, float]:
    """Return the centre of the light above the noise, as (row, column)."""
    light = [(y, x, max(v - 150, 0)) for y, row in enumerate(image) for x, v in enumerate(row)]
    total = sum(v for _, _, v in light)
    return sum(y * v for y, _, v in light) / total, sum(x * v for _, x, v in light) / total


def test_camera_watches_a_moving_spot() -> None:
    with SimulatedCamera(rate_hz=200, seed=1) as camera, client_of(camera) as client:
        first = client.get()
        assert len(first["image"]) == 12
        assert {len(row) for row in first["image"]} == {16}
        assert all(0 <= v <= 4095 and type(v) is int for row in first["image"] for v in row)
        row, column = spot(first["image"])
        assert 2 < row < 10
        assert 3 < column < 13
        later = get_until(client, lambda data: math.dist(spot(data["image"]), (row, column)) > 1)
        assert later["frame"] > first["frame"]


def test_camera_noise_is_repeatable() -> None:
    images = []
    for seed in (1, 1, 2):
        camera = SimulatedCamera(seed=seed)
        images.append(camera.server.data["image"])
        camera.stop()
    assert images[0] == images[1]
    assert images[0] != images[2]


def test_camera_exposure(caplog: pytest.LogCaptureFixture) -> None:
    with SimulatedCamera(rate_hz=100) as camera, client_of(camera) as client:
        client.opt({"exposure_ms": 4})
        changed = client.get()
        assert changed["exposure_ms"] == 4.0
        # Four times the light saturates the middle of the spot.
        get_until(client, lambda data: max(map(max, data["image"])) == 4095)
        with caplog.at_level(logging.WARNING, LOGGER_NAME):
            unusable: list[Any] = [{}, [], {"exposure_ms": "4"}, {"exposure_ms": -1}]
            for data in (*unusable, {"exposure_ms": None}):
                client.opt(data)
        assert client.get()["exposure_ms"] == 4.0
    assert sum("OPT refused" in record.getMessage() for record in caplog.records) == 5


def test_camera_notes_the_scan() -> None:
    with SimulatedCamera() as camera, client_of(camera) as client:
        client.scan({"step": 3})
        assert client.get()["scan"] == {"data": {"step": 3}}


@pytest.mark.parametrize("kind", [SimulatedCamera, SimulatedShot])
def test_saving_needs_a_path_and_the_switch(kind: type[SimulatedCamera | SimulatedShot]) -> None:
    with kind(rate_hz=200) as device, client_of(device) as client:
        data = client.get()
        assert (data["path"], data["saving"], data["saved"]) == (None, False, 0)
        client.toggle_saving(True)
        assert client.get()["saving"] is True
        begun = client.get()["time"]
        assert get_until(client, lambda data: data["time"] > begun)["saved"] == 0
        client.save("/data/run 1")
        assert client.get()["path"] == "/data/run 1"
        get_until(client, lambda data: data["saved"] >= 3)
        client.toggle_saving(False)
        ended = client.get()
        later = get_until(client, lambda data: data["time"] > ended["time"])
        assert later["saved"] == ended["saved"]


def test_shots_are_counted() -> None:
    with SimulatedShot(rate_hz=100) as device, client_of(device) as client:
        first = client.get()["shot"]
        assert get_until(client, lambda data: data["shot"] >= first + 3)


# -- streams


@pytest.mark.parametrize("rows", [12, 3])
def test_camera_streams_its_images(rows: int) -> None:
    camera = SimulatedCamera(rows=rows, rate_hz=100)
    with camera, client_of(camera) as client, client.subscribe("images", start="oldest") as images:
        client.opt({"exposure_ms": 4})
        updates = [images.next(LIMIT_S) for _ in range(3)]
        assert [update.data["frame"] for update in updates] == [1, 2, 3]
        assert {update.data["image"].shape for update in updates} == {(rows, 16)}
        assert {update.data["image"].dtype for update in updates} == {np.dtype("<u2")}
        while images.next(LIMIT_S).data["exposure_ms"] != 4.0:
            pass


def test_camera_streams_lists_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    camera = SimulatedCamera(rate_hz=100)
    with camera, client_of(camera) as client, client.subscribe("images") as images:
        image = images.next(LIMIT_S).data["image"]
        assert len(image) == 12
        assert all(0 <= counts <= 4095 for row in image for counts in row)


def test_shots_are_streamed() -> None:
    with SimulatedShot(rate_hz=100) as device, client_of(device) as client:
        with client.subscribe("shots", start="oldest") as shots:
            updates = [shots.next(LIMIT_S) for _ in range(5)]
        assert [(update.seq, update.data) for update in updates] == [
            (n, {"shot": n}) for n in range(1, 6)
        ]


@pytest.mark.parametrize(("kind", "key"), [("MOTOR", "positions"), ("GAS", "pressures")])
def test_what_moves_streams_its_data(kind: str, key: str) -> None:
    with make_device(kind) as device, client_of(device) as client:
        with client.subscribe("data") as updates:
            client.set([1.5])
            while updates.next(LIMIT_S).data["targets"][0] != 1.5:
                pass
            data = updates.next(LIMIT_S).data
        assert set(data) == set(client.get())
        assert data[key]


# -- ends


def test_a_client_can_stop_it() -> None:
    with SimulatedMotor() as motor, client_of(motor) as client:
        client.stop_server()
        deadline = time.monotonic() + LIMIT_S
        while motor.is_alive() and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert not motor.is_alive()


def test_stop_many_times_at_once() -> None:
    with SimulatedMotor() as motor:
        threads = [threading.Thread(target=motor.stop) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
        assert not motor.is_alive()
        assert not motor.server.is_alive()


def test_a_port_can_be_used_again() -> None:
    never_started = SimulatedMotor()
    address = never_started.local_address
    with pytest.raises(zmq.ZMQError):
        SimulatedMotor(address=address)
    never_started.stop()
    for _ in range(2):
        with SimulatedMotor(address=address) as motor, client_of(motor) as client:
            assert client.get()["positions"] == [0.0, 0.0]


def test_local_address_of_a_server_on_all_networks() -> None:
    camera = SimulatedCamera(address="tcp://*:*")
    with camera, ClientLHC(camera.local_address, timeout_s=LIMIT_S) as client:
        assert camera.local_address.startswith("tcp://127.0.0.1:")
        assert client.info()["name"] == "camera"
        assert isinstance(camera.server, ServerLHC)
