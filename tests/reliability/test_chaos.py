"""Scenarios run, hold, and tell a broken promise; a few of them, and not often."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.machine import within

pytestmark = [pytest.mark.slow, pytest.mark.timeout(within(250))]

Run = Callable[..., Any]


def test_some_scenarios_hold(run: Run, tmp_path: Path) -> None:
    names = ["restarts-killed", "strangers-other", "networks-cut"]
    done = run("run.py", "--only", *names, "--over", "tcp", "--share", 0.05, "--output", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "chaos.json").read_text())
    assert {row["name"] for row in told["rows"]} == set(names)
    for row in told["rows"]:
        found = row["found"]
        assert row["held"]
        assert not row["not_tried"]
        assert found["received"] > 0
        assert found["requests"]["answered"] > 0
        assert found["after"]["descriptors"] <= found["before"]["descriptors"]
    table = (tmp_path / "chaos.md").read_text()
    assert table.count("\n") == 4 + len(names)  # a heading, two of the table
    assert "| connections cut at any byte (proxy) | tcp | 10 |" in table


@pytest.mark.parametrize(
    ("breach", "figure"), [("lost", "lost"), ("doubled", "doubled"), ("order", "out_of_order")]
)
def test_a_broken_promise_is_told(run: Run, tmp_path: Path, breach: str, figure: str) -> None:
    chosen = ["--only", "strangers-other", "--over", "tcp", "--share", 0.01]
    done = run("run.py", *chosen, "--breach", breach, "--output", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout
    (row,) = json.loads((tmp_path / "chaos.json").read_text())["rows"]
    assert not row["held"]
    assert row["found"][figure] == 2, "one of each witness"
    assert "**no**" in (tmp_path / "chaos.md").read_text()


def test_the_list_and_wrong_names(run: Run, tmp_path: Path) -> None:
    done = run("run.py", "--list")
    assert done.returncode == 0
    assert "crowds-over-time [tcp, secured]: clients one after the other, 100,000" in done.stdout
    done = run("run.py", "--only", "nothing-such")
    assert done.returncode == 2
    assert "there are strangers-killed" in done.stderr
    done = run("run.py", "--other", tmp_path / "no-python")
    assert done.returncode == 2
    assert "no-python has no laplace-server" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run.py", "--share", "0"], "must be above 0, is 0"),
        (["run.py", "--share", "nan"], "must be above 0, is nan"),
        (["run.py", "--over", "tcp,"], "'tcp,' is none of tcp, tcp-secured, libzmq"),
        (["run.py", "--output", f"{__file__}/folder"], "argument --output: "),
        (["soak/run.py", "--minutes", "-1"], "must be above 0, is -1"),
        (["soak/run.py", "--only", "x"], "'x' is none of steady, steady-secured, restarted-"),
        (["soak/run.py", "--output", f"{__file__}/folder"], "argument --output: "),
    ],
)
def test_wrong_arguments(run: Run, arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_setting_is_one_word(run: Run) -> None:
    done = run("run.py", "--list", "--over", "tcp-secured")
    assert done.returncode == 0
    assert {line.partition("[")[2].partition("]")[0] for line in done.stdout.splitlines()} == {
        "tcp, secured"
    }
