"""The scenarios; ``command`` runs them."""

from __future__ import annotations

from reliability.chaos import restarts

SCENARIOS = (*restarts.SCENARIOS,)
