"""Recorder, with each of its compressions."""

from __future__ import annotations

import hdf5plugin  # noqa: F401  # without it there is nothing to measure

CANNOT: dict[str, str] = {}
