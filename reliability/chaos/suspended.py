"""Processes that are stopped and continued: one end, the other, or both, as of a laptop."""

from __future__ import annotations

import time
from collections.abc import Sequence

from reliability.common.program import Program
from reliability.common.scenario import Scenario
from reliability.common.setting import ALL
from reliability.common.stage import Stage
from reliability.common.traffic import flows

# In turn: shorter than a subscription waits for a word, longer, and longer than a request.
PAUSES_S = (0.3, 4.0, 1.5)
SLEEPS_S = (5.0, 1.0, 70.0)
"""The last one is longer than a device remembers a subscriber that it can send nothing."""


def pause(stage: Stage, programs: Sequence[Program], seconds: float) -> None:
    """Stop them all for a while."""
    for program in programs:
        program.freeze()
    time.sleep(seconds)
    for program in programs:
        program.resume()
    flows(stage)


def server(stage: Stage, times: int) -> None:
    """Stop the device."""
    for number in range(times):
        seconds = PAUSES_S[number % len(PAUSES_S)]
        stage.outage_s += seconds
        pause(stage, [stage.device], seconds)


def clients(stage: Stage, times: int) -> None:
    """Stop the clients."""
    for number in range(times):
        pause(stage, stage.witnesses, PAUSES_S[number % len(PAUSES_S)])


def both(stage: Stage, times: int) -> None:
    """Stop all, the prober too, which does not count the sleep as time without an answer."""
    for number in range(times):
        seconds = SLEEPS_S[number % len(SLEEPS_S)]
        pause(stage, [*stage.witnesses, stage.prober, stage.device], seconds)


SCENARIOS = (
    Scenario("suspended-server", "server stopped and continued, 0.3 to 4 s", 9, server, ALL),
    Scenario("suspended-clients", "clients stopped and continued, 0.3 to 4 s", 9, clients, ALL),
    Scenario(
        "suspended-both",
        "a laptop that sleeps: both ends stopped for 1, 5 and 70 s (monotonic time goes on)",
        3,
        both,
    ),
)
