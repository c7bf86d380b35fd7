"""The scenarios; ``command`` runs them."""

from __future__ import annotations

from reliability.chaos import (
    callbacks,
    clocks,
    crowds,
    limits,
    networks,
    releases,
    restarts,
    strangers,
    suspended,
)

SCENARIOS = (
    *strangers.SCENARIOS,
    *crowds.SCENARIOS,
    *networks.SCENARIOS,
    *suspended.SCENARIOS,
    *restarts.SCENARIOS,
    *callbacks.SCENARIOS,
    *clocks.SCENARIOS,
    *limits.SCENARIOS,
    *releases.SCENARIOS,
)
