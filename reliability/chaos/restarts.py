"""Devices that end and come back on their port, under live clients and streams."""

from __future__ import annotations

from reliability.common.scenario import Scenario
from reliability.common.setting import ALL
from reliability.common.stage import Stage
from reliability.common.traffic import flows


def killed(stage: Stage, times: int) -> None:
    """Kill it at any moment."""
    for _ in range(times):
        stage.restart_device()
        flows(stage)


def stopped(stage: Stage, times: int) -> None:
    """Stop it in order."""
    for _ in range(times):
        stage.restart_device(stage.stop_device)
        flows(stage)


SCENARIOS = (
    Scenario("restarts-killed", "server killed and restarted", 20, killed, ALL),
    Scenario("restarts-stopped", "server stopped in order and restarted", 20, stopped, ALL),
)
