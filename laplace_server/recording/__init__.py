"""Recordings of streams in HDF5 files, which say what is missing; extra ``record``.

    with ClientLHC("tcp://192.168.1.20:5555") as camera:
        with Recorder("run.h5", [(camera, "images")]):
            input("Enter ends it. ")

    with laplace_server.recording.open("run.h5") as recording:
        images = recording["camera"]["images"]
        print(images["image"][3].mean(), images.times[3], images.ledger)

docs/recorder.md has the format of the files.
"""

from __future__ import annotations

import contextlib
import os

from laplace_server.wire.extras import how_to_install

try:
    import h5py as _h5py  # noqa: F401
    import numpy as _numpy  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"laplace_server.recording needs h5py and NumPy ({error}). {how_to_install('record')}",
        name=error.name,
    ) from error

from laplace_server.recording.joining import MISSING, Joined, join
from laplace_server.recording.key_reader import ABSENT
from laplace_server.recording.key_values import Values
from laplace_server.recording.ledger import LedgerRow
from laplace_server.recording.reading import Recording, Server
from laplace_server.recording.recorder import Recorder
from laplace_server.recording.stats import RecorderStats, StreamStats
from laplace_server.recording.stream_reader import Stream

__all__ = [
    "ABSENT",
    "MISSING",
    "Joined",
    "LedgerRow",
    "Recorder",
    "RecorderStats",
    "Recording",
    "Server",
    "Stream",
    "StreamStats",
    "Values",
    "join",
    "open",
]


def open(path: str | os.PathLike[str]) -> Recording:
    """Open a recording to read it: ``path`` is one of its files; all are found.

    A recording that is still written can be opened, too: it shows what the last commit wrote.

    Raises:
        OSError: a file cannot be opened.
        ValueError: it was not written by laplace-server.
    """
    with contextlib.suppress(ImportError):  # only what is compressed by lz4 needs it
        import hdf5plugin  # noqa: F401
    return Recording(path)
