"""move and halt: a device's movement on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.command_line import failed, run, run_json
from support.peers import address_of
from support.serving import client_of, serving
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.sim import SimulatedMotor


def test_move_tells_where_the_device_is(motor: SimulatedMotor) -> None:
    done = run("move", motor.local_address, "1.5", "-1")
    assert (done.stderr, done.returncode) == ("", 0)
    *progress, last = done.stdout.splitlines()
    assert last == f"{motor.local_address} has arrived at [1.5, -1.0]."
    assert progress
    assert all(line.startswith("positions: [") for line in progress)
    seen = [json.loads(line.partition(": ")[2]) for line in progress]
    assert [x for x, _ in seen] == sorted(x for x, _ in seen)
    assert len({tuple(each) for each in seen}) == len(seen)


def test_move_as_json(motor: SimulatedMotor) -> None:
    told = run_json("move", motor.local_address, "1=0.5")
    assert (told["address"], told["cmd"], told["ok"]) == (motor.local_address, "SET", True)
    assert told["data"]["positions"] == [0.0, 0.5]
    assert told["data"]["moving"] is False


def test_a_device_that_describes_another_key() -> None:
    described = {"angle": {"unit": "deg", "writable": True, "moving": "turns"}}
    data = {"angle": [0.0], "turns": False}
    with serving(describe=described, data=data) as server:

        def turn(positions: Any) -> None:
            server.set_data({"angle": [positions[0] + 0.25], "turns": False}, copy=True)

        server.set_on_position_changed(turn)
        done = run("move", address_of(server), "3", "--tolerance", "0.5")
    assert done.stdout.splitlines() == [
        "angle: [3.25]",
        f"{address_of(server)} has arrived at [3.25].",
    ]


def test_a_device_that_does_not_say_where_it_is() -> None:
    with serving(data={"moving": False}) as server:
        done = run("move", address_of(server), "3")
    assert (done.stdout, done.returncode) == (f"{address_of(server)} has arrived.\n", 0)


def test_a_move_that_does_not_arrive(motor: SimulatedMotor) -> None:
    done = run("move", motor.local_address, "40", "--timeout", "0.2")
    assert done.returncode == 1
    assert "has not arrived at {0: 40.0}: its 0.2 s are over. It is at [" in done.stderr
    done = run("move", motor.local_address, "60")
    assert done.returncode == 1
    assert "it is at rest (halted, refused, or" in done.stderr


def test_a_move_that_is_refused() -> None:
    described = {"positions": {"limits": (-5, 5), "writable": True}}
    data = {"positions": [0.0]}
    with serving(describe=described, check_limits=True, data=data) as server:
        message = failed("move", address_of(server), "9", status=1)
    assert "answered SET with an error: outside limits: axis 0" in message


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (['["a"]'], "'positions[0]' must be a finite number, not 'a'"),
        (["{}"], "'positions' must name at least one axis"),
        (["1", "--tolerance", "-1"], "'tolerance' must not be negative"),
        (["1", "--tolerance", "inf"], "'tolerance' must be a finite number"),
        (["1", "--timeout", "inf"], "--timeout must be a positive number of seconds, not inf"),
    ],
)
def test_arguments_that_are_wrong(motor: SimulatedMotor, words: list[str], text: str) -> None:
    assert text in failed("move", motor.local_address, *words, status=2)


def test_halt(motor: SimulatedMotor) -> None:
    with ClientLHC(motor.local_address) as client:
        client.set([50.0])
        done = run("halt", motor.local_address)
        assert (done.stderr, done.returncode) == ("", 0)
        assert done.stdout == f"{motor.local_address} has halted its device.\n"
        wait_until(lambda: not client.get()["moving"], "it is at rest")
        assert 0 < client.get()["positions"][0] < 50
    told = run_json("halt", motor.local_address)
    assert told == {"address": motor.local_address, "cmd": "HALT", "ok": True}


def test_a_device_without_halt(server: ServerLHC) -> None:
    message = failed("halt", address_of(server), status=1)
    assert message.startswith(f"laplace-server: {address_of(server)} answered HALT with an error: ")
    assert "This device cannot be halted" in message
    assert "Nothing was done" in message


def test_a_halt_that_fails(server: ServerLHC) -> None:
    def stuck() -> None:
        raise RuntimeError("the brake is off")

    server.set_on_halt(stuck)
    message = failed("halt", address_of(server), status=1)
    assert "answered HALT with an error: RuntimeError: the brake is off" in message
    with client_of(server) as client:
        assert client.ping() > 0
