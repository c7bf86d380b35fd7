"""Processes of a test that are made to stand still, as a machine does that sleeps."""

from __future__ import annotations

import os
import sys

import psutil
from support.waiting import wait_until


def stand_still(pid: int) -> None:
    """Stop a child, and return when all of its threads stand still.

    On a busy machine they may go on for a while after the signal.
    """
    process = psutil.Process(pid)
    process.suspend()
    if sys.platform == "win32":
        return
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
    else:
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, "it stands still")


def go_on(pid: int) -> None:
    """Let it go on."""
    psutil.Process(pid).resume()
