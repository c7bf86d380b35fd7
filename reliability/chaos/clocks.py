"""Wall clocks that jump, by libfaketime; the monotonic clock goes on."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from reliability.common.cast import Cast
from reliability.common.scenario import Backstage, NotTried, Scenario
from reliability.common.stage import Stage
from reliability.common.traffic import flows, wait_until

JUMPS_S = (3600, -3600, 86_400, -86_400, 10 * 365 * 86_400, 0)
"""Where the clock stands, against that of the system."""
_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
_FILE = "FAKETIME_TIMESTAMP_FILE"


def library() -> str:
    """Return the path of libfaketime for programs with threads.

    Raises:
        NotTried: it is not installed.
    """
    if not sys.platform.startswith("linux"):
        raise NotTried("needs libfaketime of Linux")
    for folder in _FOLDERS:
        for found in Path(folder).glob("**/faketime/libfaketimeMT.so.1"):
            return str(found)
    raise NotTried("libfaketime is not installed")


def prepare(cast: Cast, backstage: Backstage) -> Cast:
    """Let device and witnesses read the time from a file."""
    file = backstage.folder / "time"
    file.write_text("+0")
    environment = {
        "LD_PRELOAD": library(),
        _FILE: str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    return replace(cast, environment=environment)


def jump(stage: Stage, times: int) -> None:
    """Set the clocks of both ends."""
    file = Path(stage.cast.environment[_FILE])
    for number in range(times):
        offset = JUMPS_S[number % len(JUMPS_S)]
        file.write_text(f"{offset:+d}")

        def has_jumped(offset: int = offset) -> bool:
            theirs: float = stage.device.ask(do="time")["time"]
            return abs(theirs - time.time() - offset) < 60

        wait_until(has_jumped, f"the device's clock is off by {offset} s")
        flows(stage)


SCENARIOS = (
    Scenario(
        "clocks",
        "wall clocks of both ends jump by an hour, a day, ten years, forth and back",
        12,
        jump,
        prepare=prepare,
    ),
)
