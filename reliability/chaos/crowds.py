"""Many connections, at once and over time."""

from __future__ import annotations

from reliability.common.scenario import Scenario
from reliability.common.setting import ALL
from reliability.common.stage import Stage
from reliability.common.traffic import flows
from reliability.roles.crowd import ROUNDS

PATIENCE_S = 1800.0


def at_once(stage: Stage, times: int) -> None:
    """Have so many clients connected; each asks three times."""
    with stage.helper("crowd", count=times, together=True) as crowd:
        assert crowd.hear(PATIENCE_S)["answered"] == times * ROUNDS
    flows(stage)


def over_time(stage: Stage, times: int) -> None:
    """Let one client after the other connect, ask and go."""
    with stage.helper("crowd", count=times, together=False) as crowd:
        assert crowd.hear(PATIENCE_S)["answered"] == times
    flows(stage)


SCENARIOS = (
    Scenario("crowds-at-once", "clients connected at once", 1000, at_once, ALL),
    Scenario("crowds-over-time", "clients one after the other", 100_000, over_time, ALL),
)
