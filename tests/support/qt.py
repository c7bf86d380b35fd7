"""Qt without a screen, where it is installed."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.peers import PATIENCE_S

# Before Qt is loaded: there is no screen where tests run.
os.environ["QT_QPA_PLATFORM"] = "offscreen"

HAVE_PYQT6 = importlib.util.find_spec("PyQt6") is not None
needs_pyqt6 = pytest.mark.skipif(not HAVE_PYQT6, reason="PyQt6 is not installed")

if HAVE_PYQT6:
    from PyQt6.QtCore import QEventLoop, QTimer

MakeBridge = Callable[..., Any]


def spin(until: Callable[[], Any], within_s: float = PATIENCE_S) -> None:
    """Let the event loop run until something is true; fail when that takes too long."""
    loop = QEventLoop()
    deadline = time.monotonic() + within_s
    timer = QTimer()
    timer.timeout.connect(lambda: (until() or time.monotonic() > deadline) and loop.quit())
    timer.start(1)
    loop.exec()
    timer.stop()
    assert until()


def spin_for(seconds: float) -> None:
    """Let the event loop run: for what must not happen."""
    end = time.monotonic() + seconds
    spin(lambda: time.monotonic() >= end)
