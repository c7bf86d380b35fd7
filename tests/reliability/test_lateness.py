"""A harness that does not get to run is told apart from a server that does not answer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.isolated import Child
from support.paths import CHECKOUT

STOPPED_S = 0.5

CLOCK = f"""
import sys
sys.path.append({str(CHECKOUT)!r})
from reliability.common.lateness import Lateness
with Lateness() as lateness:
    print("ticks", flush=True)
    sys.stdin.readline()
    print(lateness.longest_s, lateness.total_s)
print(lateness.longest_s, lateness.total_s)
"""


def test_a_process_that_was_stopped_knows_for_how_long(
    make_child: Callable[..., Child],
) -> None:
    child = make_child(CLOCK)
    assert child.hear() == "ticks"
    begun = time.monotonic()
    os.kill(child.process.pid, signal.SIGSTOP)
    time.sleep(STOPPED_S)  # what is measured
    os.kill(child.process.pid, signal.SIGCONT)
    child.tell("")
    within, over = ([float(word) for word in child.hear().split()] for _ in range(2))
    assert STOPPED_S - 0.05 < within[0] <= within[1] < time.monotonic() - begun
    assert over >= within, "no tick is due any more"


def found(longest_s: float) -> Any:
    from reliability.common.cast import Found
    from reliability.common.resources import MIB, Resources

    made = Found(longest_s=longest_s, before=Resources(MIB, 1, 1), after=Resources(MIB, 1, 1))
    made.requests.answered = 1
    return made


@pytest.mark.parametrize(
    ("longest_s", "late_s", "told"),
    [
        (1.0, 0.0, ""),
        (1.0, 30.0, ""),  # in spite of that
        (1e4, 0.1, "no answer for 10000.0 s"),
        (1e4, 30.0, "no answer for 10000.0 s (the harness itself did not run for 30.0 s: "),
    ],
)
def test_a_row_says_who_did_not_run(longest_s: float, late_s: float, told: str) -> None:
    from reliability.common.report import faults, table
    from reliability.common.scenario import Row, judge

    row = Row("steady", "tcp", "steady", 1, late_s=late_s, found=found(longest_s))
    judge(row.found, 0.0, 0)
    assert row.held == (not told)
    assert row.starved == (late_s > 1)
    assert faults(row).startswith(told)
    assert ("harness" in faults(row)) == ("harness" in told)
    assert f"| {longest_s:.2f} | {late_s:.2f}, 0.00 |" in table([row])
