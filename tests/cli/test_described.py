"""info and call: what a device says of itself, and its methods, on the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from support.command_line import failed, run, run_json
from support.peers import address_of
from support.serving import client_of, serving

from laplace_server import ServerLHC
from laplace_server.cli.described import described_lines
from laplace_server.cli.values import read_arguments
from laplace_server.sim import SimulatedMotor


@pytest.fixture
def stage() -> Iterator[ServerLHC]:
    described = {"positions": {"unit": "mm", "limits": [(-5, 5), (0, None)], "writable": True}}
    with serving(describe=described, check_limits=True, when_moving="busy") as server:

        @server.command("HOME")
        def home(axis: int, names: list[str] | None = None) -> list[Any]:
            """Send an axis home.

            Slowly.
            """
            if axis > 1:
                raise ValueError(f"no axis {axis}")
            return [axis, names]

        server.command("NOTHING")(lambda: None)
        server.command("TEXT")(lambda: "a\x1b[2Jb")
        server.command("DICT")(lambda: {"x": 1.5})
        yield server


def test_info_shows_a_table_and_methods(stage: ServerLHC) -> None:
    lines = run("info", address_of(stage)).stdout.splitlines()
    begin = lines.index("data       unit  limits             SET")
    assert lines[begin + 1 :] == [
        "positions  mm    -5 to 5, 0 to inf  yes",
        "A SET outside of the limits is refused.",
        "A SET on an axis that moves is refused.",
        "",
        "methods",
        "  HOME(axis: int, names: list[str] | None = None)",
        "      Send an axis home.",
        "  NOTHING()",
        "  TEXT()",
        "  DICT()",
    ]
    assert not any(line.startswith(("description", "methods:")) for line in lines)
    told = run_json("info", address_of(stage))
    assert told["description"]["keys"]["positions"]["unit"] == "mm"
    assert list(told["methods"]) == ["HOME", "NOTHING", "TEXT", "DICT"]


def test_info_of_streams_is_cut_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    image = {"dtype": "uint16", "shape": (12, None), "limits": (0, 4095), "text": "rows " * 20}
    described = {("images", "image"): image, ("images", "n"): {"shape": ()}}
    with serving(describe=described) as server:
        done = run("info", address_of(server), env={"COLUMNS": "60"})
        with client_of(server) as client:
            device = client.describe()
    assert done.stdout.splitlines()[-2].endswith("rows rows rows")  # whole, in a pipe
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = list(described_lines(device))
    assert lines[-3:] == [
        "stream images  type    shape     limits     text",
        "image          uint16  12 x any  0 to 4095  rows rows row...",
        "n                      scalar",
    ]
    assert max(map(len, lines)) <= 60


def test_info_of_a_server_that_describes_nothing() -> None:
    with serving() as server:
        done = run("info", address_of(server))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "plottables_list: []")


def test_what_a_device_says_does_not_act_on_the_terminal() -> None:
    described = {"x\x1b[2J": {"unit": "\x07", "text": "a\nb"}}
    with serving(describe=described) as server:
        done = run("info", address_of(server))
    assert "x\\x1b[2J  \\x07  a\\nb" in done.stdout.splitlines()
    assert not any(mark in done.stdout for mark in "\x1b\x07")


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["HOME", "axis=1"], "[1, null]"),
        (["HOME", "axis=0", 'names=["a", "7"]'], '[0, ["a", "7"]]'),
        (["NOTHING"], "NOTHING is done."),
        (["TEXT"], "a\\x1b[2Jb"),
        (["DICT"], "x: 1.5"),
    ],
)
def test_call(stage: ServerLHC, words: list[str], printed: str) -> None:
    done: subprocess.CompletedProcess[str] = run("call", address_of(stage), *words)
    assert (done.stdout, done.stderr, done.returncode) == (f"{printed}\n", "", 0)


def test_call_as_json(stage: ServerLHC) -> None:
    assert run_json("call", address_of(stage), "HOME", "axis=1") == [1, None]
    assert run_json("call", address_of(stage), "NOTHING") is None


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["HOME"], 1, "HOME: argument 'axis' is missing"),
        (["HOME", "axis=left"], 1, "argument 'axis' must be int, not 'left'"),
        (["HOME", "axis=NaN"], 1, "argument 'axis' must be int, not 'NaN'"),
        (["HOME", "axis=7"], 1, "answered HOME with an error: ValueError: no axis 7"),
        (["PARK"], 1, "answered PARK with an error: Unknown command"),
        (["HOME", "axis"], 2, "'axis' is no argument: give NAME=VALUE"),
        (["HOME", "=1"], 2, "'=1' is no argument: give NAME=VALUE"),
        (["HOME", "axis=1", "axis=2"], 2, "Argument 'axis' is given twice"),
        (["HOME", "timeout_s=2"], 2, "is told by --timeout"),
    ],
)
def test_calls_that_fail(stage: ServerLHC, words: list[str], status: int, text: str) -> None:
    assert text in failed("call", address_of(stage), *words, status=status)


def test_set_outside_of_the_limits(stage: ServerLHC) -> None:
    message = failed("set", address_of(stage), "9", status=1)
    assert "answered SET with an error: outside limits: axis 0 of 'device' goes from" in message


def test_a_simulated_motor_says_what_it_is(motor: SimulatedMotor) -> None:
    lines = run("info", motor.local_address, env={"COLUMNS": "100"}).stdout.splitlines()
    assert any(
        line.startswith("positions  float64  2       mm    -50 to 50  yes") for line in lines
    )


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ([], {}),
        (["a=1", "b=-1.5", "c=true", "d=null"], {"a": 1, "b": -1.5, "c": True, "d": None}),
        (["a=x y", "b=", 'c="7"', "d=a=b"], {"a": "x y", "b": "", "c": "7", "d": "a=b"}),
        (['a={"b": [1]}', "c=[1"], {"a": {"b": [1]}, "c": "[1"}),
        (["a=Infinity"], {"a": "Infinity"}),
    ],
)
def test_read_arguments(words: list[str], arguments: dict[str, Any]) -> None:
    assert read_arguments(words) == arguments
