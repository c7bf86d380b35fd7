"""The scenarios; ``command`` runs them."""

from __future__ import annotations

from reliability.chaos import callbacks, crowds, restarts, strangers, suspended

SCENARIOS = (
    *strangers.SCENARIOS,
    *crowds.SCENARIOS,
    *suspended.SCENARIOS,
    *restarts.SCENARIOS,
    *callbacks.SCENARIOS,
)
