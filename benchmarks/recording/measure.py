"""Measures one row of recording once: losses, CPU, and how long it takes to catch up."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from benchmarks.common.figures import Figures
from benchmarks.common.processes import Program, python
from benchmarks.recording.rows import RecorderPeer, RecorderRow

_LEAST_S = 3.0  # a shorter run fits into what is held in memory


def recording(peer: RecorderPeer, row: RecorderRow, seconds: float) -> Figures:
    """Have devices publish, and a recorder write it into a file of this folder."""
    seconds = max(seconds, _LEAST_S)
    numbers = [str(row.images_per_s), str(row.devices), str(seconds)]
    with (
        tempfile.TemporaryDirectory(prefix="recorded-", dir=Path.cwd()) as folder,
        closing(Program(python("benchmarks.recording.devices", *numbers))) as devices,
    ):
        arguments = [str(Path(folder) / "run.h5"), peer.compression, devices.told()]
        with closing(Program(python("benchmarks.recording.process", *arguments))) as recorder:
            recorder.expect_ready()
            devices.tell("")
            published = json.loads(devices.told())
            ended = time.perf_counter()
            recorder.tell(str(published["updates"]))
            told = json.loads(recorder.told())
            behind_s = time.perf_counter() - ended
        devices.tell("")
    return {
        "cores": told["cpu_s"] / seconds,
        "lost": told["lost"] / published["updates"],
        "behind_s": behind_s,
        "device_cores": published["cpu_s"] / seconds,
        "written_mb_s": told["bytes"] / seconds / 1e6,
        "images_per_s": published["images"] / seconds,
        "peak_mib": told["peak_kib"] / 1024,
    }


KINDS: dict[str, Callable[[RecorderPeer, RecorderRow, float], Figures]] = {"recording": recording}
