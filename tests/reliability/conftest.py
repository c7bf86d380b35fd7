"""Where the scenarios are, and how they are run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from support.machine import LINUX, within
from support.paths import CHECKOUT

RELIABILITY = CHECKOUT / "reliability"
TIMEOUT_S = within(240)

# Signals and limits are those of Linux, and the scenarios may not be beside the tests.
if not LINUX or not RELIABILITY.exists() or importlib.util.find_spec("numpy") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let modules of ``reliability`` be imported, as its ``run.py`` does."""
    before = set(sys.modules)
    # Last, as there: what is installed goes before what lies in the checkout.
    monkeypatch.setattr(sys, "path", [*sys.path, str(CHECKOUT)])
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "reliability":
            del sys.modules[name]


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs one of its commands and returns what came of it."""

    def run(command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(RELIABILITY / command), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    return run
